#!/bin/sh
# Checks clearhouse's wire format against a second implementation (the Python beside this file, on PyCA cryptography)
# and its signed records against securesystemslib. Needs python3, cargo and, the first time, PyPI.
# Prints "N passed, N failed"; exits with 0 only when nothing failed.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
venv=$target/interop-venv
work=$target/interop

# The environment is made anew when the pins change.
if ! cmp -s "$here/requirements.txt" "$venv/requirements.txt"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
    cp "$here/requirements.txt" "$venv/requirements.txt"
fi
rm -rf "$work"
mkdir -p "$work"
cd "$root"
cargo build --quiet --workspace --features clearhouse-protocol/fixture --example interop
PYTHONDONTWRITEBYTECODE=1 exec "$venv/bin/python" "$here/run.py" "$work" "$target/debug/examples/interop"
