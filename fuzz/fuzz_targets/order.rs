//! Fuzzes `liveset_fuzz::targets::order`.
#![cfg_attr(fuzzing, no_main)]
liveset_fuzz::target!(order);
