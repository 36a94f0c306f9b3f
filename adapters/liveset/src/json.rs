//! Values of hosts as JSON text.

use bytes::Bytes;
use serde::Serialize;

use crate::finite;

/// Text that is JSON already. It goes where a value goes that can be serialized, and its tokens are kept as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json(Bytes);

impl Json {
    /// Whether the text is JSON is seen where it is used.
    pub fn new(text: impl Into<Bytes>) -> Self {
        Self(text.into())
    }
}

/// What can be written as JSON: a reference to a value that can be serialized, or [`Json`].
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
