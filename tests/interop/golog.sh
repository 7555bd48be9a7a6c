#!/usr/bin/env bash
# Go's golang.org/x/mod, unmodified, on logs exported by clearhouse: accepts them at the sizes where tiles fill up, each as
# the beginning of the next; refuses one changed, one dropped and one reordered entry, and a head with another size.
# Needs go and the Debian package golang-golang-x-mod-dev; exits 77, naming what is missing, where they are not.
set -eu

skip() { echo "golog: skipped: $1"; exit 77; }
command -v go > /dev/null || skip "go is not installed"
export GO111MODULE=off GOPATH=/usr/share/gocode GOFLAGS= GOTOOLCHAIN=local
[ -d "$GOPATH/src/golang.org/x/mod/sumdb/tlog" ] || skip "golang-golang-x-mod-dev is not installed"

root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export GOCACHE=$work/gocache
(cd "$root" && cargo build -q --workspace --example log_export)
go build -o "$work/golog" "$root/tests/interop/golog/main.go"
export_log() { "${CARGO_TARGET_DIR:-$root/target}/debug/examples/log_export" "$@"; }

passed=0 failed=0
verdict() { # WHAT WANTED GOT
  if [ "$2" = "$3" ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "  $1: wanted $2, got $3"; fi
}
accepts() {
  local got=accepted
  "$work/golog" "$@" > "$work/said" || got="refused ($(cat "$work/said"))"
  verdict "$*" accepted "$got"
}
refuses() { # WHAT ARGUMENTS
  local what=$1 got=refused
  shift
  "$work/golog" "$@" > "$work/said" && got=accepted
  verdict "$what" refused "$got"
}

older=
for size in 1 255 256 257 70000; do
  export_log "$work/$size" "$size"
  accepts "$work/$size" "$size" $older
  older=$work/$size
done
# The entries of the log of 257 lie in a full bundle and in one of one entry.
touched() { rm -rf "$work/touched" && cp -a "$work/257" "$work/touched"; }
bundle=$work/touched/tile/entries/000
touched
printf '\x07' | dd of="$bundle" bs=1 seek=1000 conv=notrunc 2> /dev/null
refuses "one changed entry" "$work/touched" 257
touched
{ head -c 350 "$work/257/tile/entries/000"; tail -c +386 "$work/257/tile/entries/000"; } > "$bundle"
refuses "one dropped entry" "$work/touched" 257
touched
{ head -c 350 "$work/257/tile/entries/000"; tail -c +386 "$work/257/tile/entries/000" | head -c 35
  tail -c +351 "$work/257/tile/entries/000" | head -c 35; tail -c +421 "$work/257/tile/entries/000"; } > "$bundle"
refuses "two entries in another order" "$work/touched" 257
touched
sed -i '2s/257/256/' "$work/touched/checkpoint"
refuses "a head with another size" "$work/touched" 256
touched
printf '\x07' | dd of="$work/touched/tile/0/000" bs=1 seek=100 conv=notrunc 2> /dev/null
refuses "a changed tile" "$work/touched" 257
refuses "a log that does not begin with the older" "$work/255" 255 "$work/257"
# A directory log: its entries are records, each of its own length.
older=
for size in 1 256 300; do
  export_log "$work/d$size" "$size" directory
  accepts -records "$work/d$size" "$size" $older
  older=$work/d$size
done
refuses "records where commitments should be" "$work/d300" 300
touched=$work/d300/tile/entries/001.p/44
printf '\x07' | dd of="$touched" bs=1 seek=100 conv=notrunc 2> /dev/null
refuses "one changed record" -records "$work/d300" 300
echo "golog: $passed passed, $failed failed"
[ $failed = 0 ]
