//! Answers and other control messages, without the text that is for people.

use crate::{CloseCode, ErrorCode, ServerMessage};

pub(super) type RequestId = Option<String>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Authenticated(RequestId),
    Ping,
    Pong(RequestId),
    Subscribed(RequestId, Vec<String>),
    Unsubscribed(RequestId, Vec<String>),
    Created { request_id: RequestId, id: String, total_count: u64, capped: bool, version: Option<String> },
    Resumed { request_id: RequestId, id: String, total_count: u64, capped: bool },
    Destroyed(RequestId, String),
    Error { code: String, request_id: RequestId, id: Option<String> },
}

impl Answer {
    pub(super) fn error(code: ErrorCode, request_id: RequestId, id: Option<&str>) -> Answer {
        Answer::Error { code: code.as_str().to_owned(), request_id, id: id.map(str::to_owned) }
    }

    /// `None` for a message of a stream.
    pub(super) fn of(message: &ServerMessage<'_>) -> Option<Answer> {
        let own = |text: &Option<std::borrow::Cow<'_, str>>| text.as_deref().map(str::to_owned);
        Some(match message {
            ServerMessage::Authenticated { request_id } => Answer::Authenticated(own(request_id)),
            ServerMessage::Ping => Answer::Ping,
            ServerMessage::Pong { request_id } => Answer::Pong(own(request_id)),
            ServerMessage::SubscribedEvents { request_id, subscriptions } => {
                let ids = subscriptions.iter().map(|entry| entry.id.to_string()).collect();
                Answer::Subscribed(own(request_id), ids)
            }
            ServerMessage::UnsubscribedEvents { request_id, ids } => {
                Answer::Unsubscribed(own(request_id), ids.iter().map(ToString::to_string).collect())
            }
            ServerMessage::LiveQueryCreated { request_id, id, total_count, capped, version } => {
                Answer::Created {
                    request_id: own(request_id),
                    id: id.to_string(),
                    total_count: *total_count,
                    capped: *capped,
                    version: own(version),
                }
            }
            ServerMessage::LiveQueryResumed { request_id, id, total_count, capped } => Answer::Resumed {
                request_id: own(request_id),
                id: id.to_string(),
                total_count: *total_count,
                capped: *capped,
            },
            ServerMessage::LiveQueryDestroyed { request_id, id } => {
                Answer::Destroyed(own(request_id), id.to_string())
            }
            ServerMessage::Error { code, request_id, id, .. } => {
                Answer::Error { code: code.to_string(), request_id: own(request_id), id: own(id) }
            }
            _ => return None,
        })
    }

    /// What kind of answer it is, for tests of what is reached.
    pub(super) fn name(&self) -> String {
        match self {
            Answer::Error { code, .. } => code.clone(),
            other => format!("{other:?}").split(['(', ' ']).next().unwrap_or_default().to_owned(),
        }
    }
}

/// For tests of what is reached.
pub(super) fn close_name(code: CloseCode) -> String {
    format!("close {}", code.as_u16())
}
