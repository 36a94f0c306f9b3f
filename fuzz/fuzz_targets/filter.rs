//! Fuzzes `liveset_fuzz::targets::filter`.
#![cfg_attr(fuzzing, no_main)]
liveset_fuzz::target!(filter);
