//! The answers to refused requests.

use std::sync::Arc;

use liveset_core::{
    ErrorCode, Query, Refusal, Snapshot, SubscriptionSpec,
    model::{Limit, limit},
};
use liveset_engine::{OpenError, QueryError, Share};

use crate::{Hub, HubLimits, error::open_error_code};

impl Hub {
    /// The answer where there is no room for a live query.
    pub(crate) fn no_room(&mut self, error: &OpenError) -> Refusal {
        self.counts.refusals.count(error.limit());
        // The filter that it names has the policy's row filter in it.
        let message = match error {
            OpenError::TooManyUnindexed { max, .. } => format!(
                "no more than {max} live queries are kept that every change has to be tried on; a filter with a test such as \
                 field == 'value', field in [..] or field < 10 that all of its nodes pass is not one of them"
            ),
            other => other.to_string(),
        };
        Refusal { code: open_error_code(error), message, id: None }
    }

    /// The answer where more was spent than `limit` lets.
    pub(crate) fn overdrawn(&mut self, limit: &Limit) -> Refusal {
        self.counts.refusals.count(limit);
        let HubLimits {
            steps_per_second_per_connection: of_connection,
            steps_per_second_per_subject: of_subject,
            steps_per_second_per_tenant: of_tenant,
            ..
        } = self.limits;
        let or_tenant = match *limit == *limit!(HubLimits.steps_per_second_per_tenant) {
            true => format!(", or {of_tenant} for a tenant"),
            false => String::new(),
        };
        let message = format!(
            "Queries were asked for faster than {of_connection} steps of work a second for a connection, or {of_subject} for a \
             subject{or_tenant}, allow: try again later"
        );
        Refusal { code: ErrorCode::Overloaded, message, id: None }
    }
}

pub(crate) fn subscription_forbidden(subscription: &SubscriptionSpec) -> Refusal {
    Refusal {
        code: ErrorCode::Forbidden,
        message: format!("not allowed to subscribe to '{}'", subscription.path),
        id: Some(subscription.id.clone()),
    }
}

pub(crate) fn invalid(error: QueryError) -> Refusal {
    Refusal { code: ErrorCode::InvalidQuery, message: error.to_string(), id: None }
}

pub(crate) fn too_large(snapshot: &Snapshot, limit: usize) -> Refusal {
    let message = format!(
        "The first rows have {} bytes and may have at most {limit}: ask for fewer rows (limit) or fields (node.fields)",
        snapshot.bytes()
    );
    Refusal { code: ErrorCode::LimitExceeded, message, id: None }
}

pub(crate) fn too_many_of_subject(limit: usize, what: &str, id: Option<&Arc<str>>) -> Refusal {
    Refusal {
        code: ErrorCode::LimitExceeded,
        message: format!("A subject may have at most {limit} {what}, over all of its connections"),
        id: id.cloned(),
    }
}

pub(crate) fn too_many_of_tenant(limit: usize, what: &str) -> Refusal {
    Refusal {
        code: ErrorCode::LimitExceeded,
        message: format!("The subjects of a tenant may have at most {limit} {what} together"),
        id: None,
    }
}

pub(crate) fn no_bytes(bytes: u64, room: Share, id: &Arc<str>) -> Refusal {
    let Share { of, left, .. } = room;
    Refusal {
        code: ErrorCode::LimitExceeded,
        message: format!("the subscription would take {bytes} bytes; {left} of {of} are left"),
        id: Some(id.clone()),
    }
}

pub(crate) fn query_forbidden(query: &Query) -> Refusal {
    Refusal { code: ErrorCode::Forbidden, message: format!("not allowed to query '{}'", query.set), id: None }
}

/// The answer where a set is loading.
pub(crate) fn still_loading(set: &str) -> Refusal {
    let message = format!("The set '{set}' is still loading: try again later");
    Refusal { code: ErrorCode::Overloaded, message, id: None }
}

/// The answer where a live query has waited for its turn for too long.
pub(crate) fn not_admitted() -> Refusal {
    let message = "The first results of many other live queries are being made: try again later".to_owned();
    Refusal { code: ErrorCode::Overloaded, message, id: None }
}

/// The answer where a live query that would wait for a set which is loading has no room for that.
pub(crate) fn no_room_to_wait(bytes: u64, room: Share, set: &str) -> Refusal {
    let Share { of, left, .. } = room;
    let message = format!(
        "The set '{set}' is still loading, and to wait for it would take {bytes} bytes; {left} of {of} are left: try again later"
    );
    Refusal { code: ErrorCode::Overloaded, message, id: None }
}
