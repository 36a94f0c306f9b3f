//! Fuzzes `liveset_fuzz::targets::holds`.
#![cfg_attr(fuzzing, no_main)]
liveset_fuzz::target!(holds);
