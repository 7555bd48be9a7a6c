//! The Human Trafficking Case Data Standard, v2.0: its code lists, its fields, and the reading of its workbooks.

pub mod codes;
pub mod fields;
