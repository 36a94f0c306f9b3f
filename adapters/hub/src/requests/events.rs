//! Subscriptions, checked, granted, taken back.

use liveset_core::{ErrorCode, Refusal, SubscriptionSpec, Ticket, model::limit};

use crate::{
    ConnectionId, Hub, HubLimits, Now, Output, Principal, ResourceError,
    connections::subscription_bytes,
    limits::share,
    policy::Guard,
    refusals::{no_bytes, subscription_forbidden, too_many_of_subject},
};

impl Hub {
    /// All or nothing.
    pub(super) fn subscribe(
        &mut self,
        now: Now,
        conn: ConnectionId,
        ticket: Ticket,
        subscriptions: Vec<SubscriptionSpec>,
    ) {
        let Some(connection) = self.connections.find_mut(conn) else { return };
        let most = self.limits.subscriptions_per_subject;
        let held = connection.share.subject().map_or(0, |subject| self.subjects.of(subject).subscriptions);
        let free = most.saturating_sub(held);
        let parked = self.statuses.held(conn, connection.share.subject());
        let mut room = self.subjects.room(&connection.share, &connection.held.kept, parked, &self.limits);
        if let Some(tenant) = connection.tenant_share.subject() {
            let limits = &self.limits;
            room = room.min(share!(limits.query_bytes_per_tenant, self.tenants.bytes_of(tenant)));
        }
        for (index, subscription) in subscriptions.iter().enumerate() {
            if index >= free {
                self.counts.refusals.count(limit!(HubLimits.subscriptions_per_subject));
                let refusal = too_many_of_subject(most, "subscriptions", Some(&subscription.id));
                connection.session.refuse(now.monotonic, ticket, refusal);
                return;
            }
            let bytes = subscription_bytes(subscription);
            if bytes > room.left {
                self.counts.refusals.count(room.limit);
                let refusal = no_bytes(bytes, room, &subscription.id);
                connection.session.refuse(now.monotonic, ticket, refusal);
                return;
            }
            room.left -= bytes;
            let who = connection.principal.as_ref();
            let checked = check_subscription(&self.resources, &self.policy, who, subscription);
            if let Err(refusal) = checked {
                if refusal.code == ErrorCode::Internal {
                    self.outputs.push(Output::Panicked { conn });
                }
                connection.session.refuse(now.monotonic, ticket, refusal);
                return;
            }
        }
        if !connection.session.accept_subscriptions(now.monotonic, ticket) {
            return;
        }
        for subscription in subscriptions {
            self.routes.add(&subscription.path, conn);
            connection.held.subscribe(subscription);
        }
        connection.count(now.monotonic, &mut self.subjects, &mut self.tenants, &self.limits);
    }

    pub(super) fn forget_subscription(&mut self, now: Now, conn: ConnectionId, id: &str) {
        let Some(connection) = self.connections.find_mut(conn) else { return };
        if let Some(subscription) = connection.held.unsubscribe(id) {
            self.routes.remove(&subscription.path, conn);
            connection.count(now.monotonic, &mut self.subjects, &mut self.tenants, &self.limits);
        }
    }
}

fn check_subscription(
    resources: &crate::Resources,
    policy: &Guard,
    who: Option<&Principal>,
    subscription: &SubscriptionSpec,
) -> Result<(), Refusal> {
    resources.declares_events(&subscription.path, &subscription.events).map_err(|error| Refusal {
        code: match error {
            ResourceError::UnknownPath(_) | ResourceError::Template(_) => ErrorCode::InvalidPath,
            ResourceError::UnknownEvent { .. } => ErrorCode::InvalidEvent,
        },
        message: error.to_string(),
        id: Some(subscription.id.clone()),
    })?;
    let may = |who| policy.ask(|policy| policy.may_subscribe(who, &subscription.path, &subscription.events));
    match who.map(may).transpose()? {
        Some(true) => Ok(()),
        Some(false) | None => Err(subscription_forbidden(subscription)),
    }
}
