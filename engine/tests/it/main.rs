//! The language, and results against a recomputation: one behaviour a file.

mod access_paths;
mod commits;
mod creation;
mod holds;
mod lang_declared;
mod lang_filter_errors;
mod lang_filter_flips;
mod lang_filter_meaning;
mod lang_filter_round_trip;
mod lang_order_rank;
mod limits;
mod params;
mod predicate_index;
mod rechoosing;
mod restrictions;
mod scan;
mod scans;
mod seeds;
mod slices;
mod staging;
mod support;
mod time_without_timers;
mod vectors;
