//! Fuzzes `liveset_fuzz::targets::json`.
#![cfg_attr(fuzzing, no_main)]
liveset_fuzz::target!(json);
