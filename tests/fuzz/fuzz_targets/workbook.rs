//! See `bodies/workbook.rs`. The product catches panics of its workbook reader; only one that nobody catches is a find.
#![no_main]
libfuzzer_sys::fuzz_target!(init: std::panic::set_hook(Box::new(|told| eprintln!("{told}"))), |data: &[u8]| {
    clearhouse_fuzz::bodies::workbook::run(data)
});
