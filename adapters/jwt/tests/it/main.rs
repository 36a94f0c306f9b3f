//! Tokens that are accepted, published attacks on them, and keys: one behaviour a file.

mod accepts;
mod key_files;
mod published_attacks;
mod rotation;
mod support;
