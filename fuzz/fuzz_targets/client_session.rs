//! Fuzzes `liveset_fuzz::targets::client_session`.
#![cfg_attr(fuzzing, no_main)]
liveset_fuzz::target!(client_session);
