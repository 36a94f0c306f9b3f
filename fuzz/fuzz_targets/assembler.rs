//! Fuzzes `liveset_fuzz::targets::assembler`.
#![cfg_attr(fuzzing, no_main)]
liveset_fuzz::target!(assembler);
