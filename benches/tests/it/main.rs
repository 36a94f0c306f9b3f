//! The contestants agree, the work that they do is counted, and a minute of `soak`.

mod agreement;
mod counts;
mod soak;
