//! The corpora of the fuzz targets as ordinary tests, what they reach, and the two readers of JSON.

mod one_json;
mod reach;
mod replay;
mod support;
