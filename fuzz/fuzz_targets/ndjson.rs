//! Fuzzes `liveset_fuzz::targets::ndjson`.
#![cfg_attr(fuzzing, no_main)]
liveset_fuzz::target!(ndjson);
