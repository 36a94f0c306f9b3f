//! Texts that are large.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text that costs nothing to copy, and is told by its length.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Text(Arc<str>);

impl Text {
    /// A row with it is as large as a server takes: 1 MiB.
    pub fn large(letter: char) -> Text {
        Text(letter.to_string().repeat(1024 * 1024 - 100).into())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        String::deserialize(deserializer).map(|text| Text(text.into()))
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}×{}", self.0.chars().next(), self.0.len())
    }
}
