//! The corpora of the fuzz targets as ordinary tests, what they reach, and the two readers of JSON.

mod live_queries;
mod messages;
mod one_json;
mod reach;
mod replay;
