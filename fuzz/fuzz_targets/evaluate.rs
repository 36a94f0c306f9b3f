//! Fuzzes `liveset_fuzz::targets::evaluate`.
#![cfg_attr(fuzzing, no_main)]
liveset_fuzz::target!(evaluate);
