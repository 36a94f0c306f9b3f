//! Values of hosts as JSON text.

use bytes::Bytes;
use serde::Serialize;

use crate::finite;

/// Text that is JSON already. It goes where a value goes that can be serialized, and its tokens are kept as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json(Bytes);

impl Json {
    /// Nothing is checked here: text that is no JSON is refused with the commit.
    pub fn new(text: impl Into<Bytes>) -> Self {
        Self(text.into())
    }
}

/// A source of JSON: a reference to a serializable value, or [`Json`].
pub trait IntoJson {
    /// The text.
    ///
    /// # Errors
    ///
    /// The value cannot be written, or has a float that is not a number.
    fn into_json(self) -> Result<Bytes, serde_json::Error>;
}

impl<T: Serialize + ?Sized> IntoJson for &T {
    fn into_json(self) -> Result<Bytes, serde_json::Error> {
        finite::to_json(self)
    }
}

impl IntoJson for Json {
    fn into_json(self) -> Result<Bytes, serde_json::Error> {
        Ok(self.0)
    }
}
