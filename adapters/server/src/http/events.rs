//! `POST /events`: one event.

use std::borrow::Cow;
use std::fmt;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use liveset::{Json, PublishError};
use liveset_engine::Timestamp;
use liveset_hub::ResourceError;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::auth::Caller;
use super::{ApiError, App, body, error};

pub(super) async fn publish(
    State(app): State<App>,
    caller: Caller,
    body: Body,
) -> Result<Response, ApiError> {
    caller.may_write(&app)?;
    let text = body::read(&app, body).await?;
    caller.still(&app).await?.may_write(&app)?;
    let event: EventText<'_> =
        serde_json::from_slice(&text).map_err(|error| ApiError::invalid_message(error.to_string()))?;
    let timestamp = match &event.timestamp {
        Some(text) => Some(Timestamp::parse_rfc3339(text).ok_or_else(|| {
            ApiError::invalid_message(format!(
                "`timestamp` must be an RFC 3339 date or date-time, it is {text:?}"
            ))
        })?),
        None => None,
    };
    let data = Json::new(Bytes::copy_from_slice(event.data.get().as_bytes()));
    let delivered = app
        .liveset
        .at(timestamp)
        .publish(&event.path, &event.event_type, data)
        .map_err(|error| refused(&error))?;
    Ok(error::json(StatusCode::OK, format!(r#"{{"delivered":{delivered}}}"#)))
}

fn refused(error: &PublishError) -> ApiError {
    let code = match error {
        PublishError::Refused(liveset_hub::PublishError::Resource(resource)) => match resource {
            ResourceError::UnknownEvent { .. } => "INVALID_EVENT",
            _ => "INVALID_PATH",
        },
        PublishError::Refused(liveset_hub::PublishError::TooLarge { .. }) => "LIMIT_EXCEEDED",
        PublishError::Internal => return ApiError::internal(),
        _ => return ApiError::invalid_message(error.to_string()),
    };
    ApiError::refused(code, error.to_string())
}

/// An event as it is sent. The data is any JSON value, and stays the bytes that were sent.
struct EventText<'de> {
    path: Cow<'de, str>,
    event_type: Cow<'de, str>,
    data: &'de RawValue,
    timestamp: Option<Cow<'de, str>>,
}

impl<'de> Deserialize<'de> for EventText<'de> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct EventVisitor;
        impl<'de> Visitor<'de> for EventVisitor {
            type Value = EventText<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with `path`, `eventType` and `data`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                const FIELDS: &[&str] = &["path", "eventType", "data", "timestamp"];
                let (mut path, mut event_type, mut data) = (None, None, None);
                let mut timestamp: Option<Option<Cow<'de, str>>> = None;
                while let Some(name) = map.next_key::<Cow<'de, str>>()? {
                    let twice = match name.as_ref() {
                        "path" => path.replace(map.next_value()?).map(|_: Cow<'de, str>| "path"),
                        "eventType" => {
                            event_type.replace(map.next_value()?).map(|_: Cow<'de, str>| "eventType")
                        }
                        "data" => data.replace(map.next_value()?).map(|_: &RawValue| "data"),
                        "timestamp" => timestamp.replace(map.next_value()?).map(|_| "timestamp"),
                        other => return Err(A::Error::unknown_field(other, FIELDS)),
                    };
                    if let Some(field) = twice {
                        return Err(A::Error::duplicate_field(field));
                    }
                }
                Ok(EventText {
                    path: path.ok_or_else(|| A::Error::missing_field("path"))?,
                    event_type: event_type.ok_or_else(|| A::Error::missing_field("eventType"))?,
                    data: data.ok_or_else(|| A::Error::missing_field("data"))?,
                    timestamp: timestamp.flatten(),
                })
            }
        }
        json.deserialize_map(EventVisitor)
    }
}
