//! Fuzz targets of Liveset, replayed as ordinary tests on stable Rust.
