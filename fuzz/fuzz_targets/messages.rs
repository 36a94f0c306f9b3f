//! Fuzzes `liveset_fuzz::targets::messages`.
#![cfg_attr(fuzzing, no_main)]
liveset_fuzz::target!(messages);
