"""Puts the inputs of a merged corpus that are worth committing into the corpus of a target: all seeds, and of the others the
smallest, within the limits that tests/fuzz/mod.rs holds."""

import pathlib
import shutil
import sys

INPUTS_MAX, BYTES_MAX, INPUT_MAX = 60, 100 << 10, 8 << 10

merged, corpus = map(pathlib.Path, sys.argv[1:])
seeds = sorted(corpus.glob("seed-*"))
room = BYTES_MAX - sum(seed.stat().st_size for seed in seeds)
found = sorted((f for f in merged.iterdir() if not f.name.startswith("seed-")), key=lambda f: (f.stat().st_size, f.name))
# Evenly from all sizes, so that not only the shortest are kept.
places = INPUTS_MAX - len(seeds)
step = max(1, len(found) // max(1, places))
for old in corpus.iterdir():
    if not old.name.startswith("seed-"):
        old.unlink()
for one in found[::step][:places]:
    size = one.stat().st_size
    if size <= min(room, INPUT_MAX):
        shutil.copy(one, corpus / one.name)
        room -= size
