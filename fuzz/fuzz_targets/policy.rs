//! Fuzzes `liveset_fuzz::targets::policy`.
#![cfg_attr(fuzzing, no_main)]
liveset_fuzz::target!(policy);
