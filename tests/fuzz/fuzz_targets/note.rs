//! See `bodies/note.rs`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| clearhouse_fuzz::bodies::note::run(data));
