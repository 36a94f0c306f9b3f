//! The data: sets, their rows, and what finds them. One writer owns it; views look at it.

pub(crate) mod bucket;
pub(crate) mod columns;
pub(crate) mod condition;
pub(crate) mod reader;
pub(crate) mod row;
pub(crate) mod set;
pub(crate) mod slots;
pub(crate) mod sorting;
