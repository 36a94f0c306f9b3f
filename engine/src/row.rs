//! A stored node.

use bytes::Bytes;

use crate::{update::NodeId, value::Value};

/// One version of one node; replaced whole, never changed.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) id: NodeId,
    /// The node's JSON without insignificant white space, every token as the host wrote it.
    pub(crate) raw: Bytes,
    pub(crate) value: Value,
}
