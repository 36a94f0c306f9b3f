//! Fuzzes `liveset_fuzz::targets::jwt`.
#![cfg_attr(fuzzing, no_main)]
liveset_fuzz::target!(jwt);
