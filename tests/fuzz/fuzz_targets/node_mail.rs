//! See `bodies/node_mail.rs`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| clearhouse_fuzz::bodies::node_mail::run(data));
