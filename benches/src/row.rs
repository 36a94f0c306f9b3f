//! An order: decoded, as JSON, and from JSON into the struct.

use std::{fmt, io::Write};

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{Error, SeqAccess, Visitor},
};

/// The statuses of an order.
pub const STATUSES: [&str; 6] = ["new", "paid", "processing", "sent", "done", "cancelled"];
/// The place of `processing` among [`STATUSES`].
pub const PROCESSING: u8 = 2;
/// Bytes of an order's note.
pub const NOTE: usize = 100;

/// An order as a service would hold it that knows its orders: numbers for what is a number behind a constant prefix, a set of
/// bits for the tags.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct OrderRow {
    /// Of eight digits, so that their text sorts as they do.
    pub id: u64,
    /// When it was made, in seconds since 1970.
    #[serde(rename = "createdAt", deserialize_with = "seconds")]
    pub created: i64,
    /// In hundredths.
    #[serde(deserialize_with = "hundredths")]
    pub total: u32,
    /// From 0.
    #[serde(deserialize_with = "customer")]
    pub customer: u32,
    /// Up to 3 of 20.
    pub tags: Tags,
    /// One of [`STATUSES`].
    #[serde(deserialize_with = "status")]
    pub status: u8,
    /// 0 to 49.
    #[serde(deserialize_with = "region")]
    pub region: u8,
    /// 0 to 5.
    pub priority: u8,
    /// [`NOTE`] bytes.
    pub note: Box<str>,
}

/// A set of numbers below 20.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tags(pub u32);

impl Tags {
    /// Whether it has this one.
    pub fn has(self, tag: u8) -> bool {
        self.0 >> tag & 1 == 1
    }
}

impl OrderRow {
    /// As a node.
    pub fn json(&self) -> Bytes {
        let mut json = Vec::with_capacity(384);
        write!(
            json,
            r#"{{"id":{},"status":"{}","customer":"customer-{}","region":"region-{}","total":{}.{:02},"createdAt":"{}","priority":{},"tags":["#,
            self.id,
            STATUSES[usize::from(self.status)],
            self.customer,
            self.region,
            self.total / 100,
            self.total % 100,
            Rfc3339(self.created),
            self.priority,
        )
        .expect("a vector takes all");
        for (place, tag) in (0..20).filter(|tag| self.tags.has(*tag)).enumerate() {
            let comma = if place > 0 { "," } else { "" };
            write!(json, r#"{comma}"tag-{tag}""#).expect("a vector takes all");
        }
        write!(json, r#"],"note":"{}"}}"#, self.note).expect("a vector takes all");
        json.into()
    }

    /// From a node, by a parser that knows what comes.
    ///
    /// # Errors
    ///
    /// It is not an order.
    pub fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }
}

/// Days since 1970 to year, month, day, and back (Hinnant's algorithms).
struct Rfc3339(i64);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second) = (self.0.div_euclid(86_400) + 719_468, self.0.rem_euclid(86_400));
        let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let year = year + era * 400 + i64::from(month >= 10);
        let month = if month < 10 { month + 3 } else { month - 9 };
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

fn parse_seconds(text: &str) -> Option<i64> {
    let digits = |from: usize, to: usize| {
        text.as_bytes()
            .get(from..to)?
            .iter()
            .try_fold(0_i64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
    };
    if text.len() != 20 || !text.ends_with('Z') {
        return None;
    }
    let (year, month, day) = (digits(0, 4)?, digits(5, 7)?, digits(8, 10)?);
    let year = year - i64::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day - 719_468;
    Some(days * 86_400 + digits(11, 13)? * 3_600 + digits(14, 16)? * 60 + digits(17, 19)?)
}

/// Reads text through a function, without a copy of it.
struct Through<F>(F, &'static str);

impl<T, F: FnOnce(&str) -> Option<T>> Visitor<'_> for Through<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).ok_or_else(|| E::custom(self.1))
    }
}

fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    from.deserialize_str(Through(parse_seconds, "a moment"))
}

fn status<'de, D: Deserializer<'de>>(from: D) -> Result<u8, D::Error> {
    let place = |text: &str| STATUSES.iter().position(|status| *status == text).map(|place| place as u8);
    from.deserialize_str(Through(place, "a status"))
}

fn customer<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    from.deserialize_str(Through(|text: &str| text.strip_prefix("customer-")?.parse().ok(), "a customer"))
}

fn region<'de, D: Deserializer<'de>>(from: D) -> Result<u8, D::Error> {
    from.deserialize_str(Through(|text: &str| text.strip_prefix("region-")?.parse().ok(), "a region"))
}

fn hundredths<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    f64::deserialize(from).map(|total| (total * 100.0).round() as u32)
}

impl<'de> Deserialize<'de> for Tags {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Tag(u8);

        impl<'de> Deserialize<'de> for Tag {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let number = |text: &str| text.strip_prefix("tag-")?.parse().ok();
                from.deserialize_str(Through(number, "a tag")).map(Tag)
            }
        }

        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = Tags;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of tags")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tags, A::Error> {
                let mut tags = Tags::default();
                while let Some(Tag(tag)) = list.next_element()? {
                    tags.0 |= 1 << (tag & 31);
                }
                Ok(tags)
            }
        }

        from.deserialize_seq(List)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut row = OrderRow {
            id: 10_000_007,
            created: 0,
            note: "n".repeat(NOTE).into(),
            total: 1_230,
            customer: 45,
            tags: Tags(0b1001),
            status: PROCESSING,
            region: 49,
            priority: 5,
        };
        for created in [0, 951_782_399, 951_782_400, 1_709_251_199, 1_709_251_200, 1_735_689_599] {
            row.created = created;
            assert_eq!(OrderRow::parse(&row.json()).expect("an order"), row);
        }
        let text = row.json();
        assert_eq!(
            std::str::from_utf8(&text).expect("text").split(r#","note""#).next(),
            Some(
                r#"{"id":10000007,"status":"processing","customer":"customer-45","region":"region-49","total":12.30,"createdAt":"2024-12-31T23:59:59Z","priority":5,"tags":["tag-0","tag-3"]"#
            )
        );
    }
}
