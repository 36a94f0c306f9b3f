//! A length of time that need not be there, as a string such as `"5m"`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer, de::Error};

use super::duration;

pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    duration::parse(&text).map(Some).map_err(D::Error::custom)
}

#[expect(clippy::ref_option, reason = "serde calls it with a reference to the field")]
pub(super) fn write<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serializer.serialize_str(&duration::print(*time)),
        None => serializer.serialize_none(),
    }
}
