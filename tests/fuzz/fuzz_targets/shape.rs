//! See `bodies/shape.rs`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| clearhouse_fuzz::bodies::shape::run(data));
