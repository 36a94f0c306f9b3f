//! Fuzzes `liveset_fuzz::targets::session`.
#![cfg_attr(fuzzing, no_main)]
liveset_fuzz::target!(session);
