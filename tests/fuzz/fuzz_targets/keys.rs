//! See `bodies/keys.rs`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| clearhouse_fuzz::bodies::keys::run(data));
