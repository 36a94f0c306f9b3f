//! Fuzzes `liveset_fuzz::targets::window`.
#![cfg_attr(fuzzing, no_main)]
liveset_fuzz::target!(window);
