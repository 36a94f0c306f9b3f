//! What is counted. Names and meanings are on the front page of the crate; no recorder is installed here.

use std::time::Duration;

use liveset_core::{ErrorCode, model::limit};
#[cfg(feature = "metrics")]
use metrics::{counter, gauge, histogram};
use tokio::time::Instant;

use crate::limits::AuthLimits;
#[cfg(feature = "metrics")]
use crate::stats::Stats;
use crate::transport::Fault;

/// What counters, gauges and histograms are without the feature: nothing.
#[cfg(not(feature = "metrics"))]
mod nowhere {
    pub(crate) struct Nowhere;

    impl Nowhere {
        pub(crate) fn increment<T>(&self, _: T) {}
        pub(crate) fn decrement<T>(&self, _: T) {}
        pub(crate) fn record<T>(&self, _: T) {}
    }

    macro_rules! nowhere {
        ($name:literal $(, $label:literal => $value:expr)?) => {{
            $(let _ = $value;)?
            crate::telemetry::nowhere::Nowhere
        }};
    }

    pub(crate) use {nowhere as counter, nowhere as gauge, nowhere as histogram};
}
#[cfg(not(feature = "metrics"))]
use nowhere::{counter, gauge, histogram};

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The peer closed it.
    ByPeer,
    /// We closed it.
    ByUs,
    /// The socket ended or failed without a close frame.
    Gone,
    /// The socket could not be written to for too long.
    Stuck,
    /// It was cut at the deadline of a shutdown.
    Aborted,
    /// The host dropped it while it was served.
    Dropped,
    /// A panic ended it.
    Panicked,
}

impl Ended {
    fn as_str(self) -> &'static str {
        match self {
            Self::ByPeer => "peer",
            Self::ByUs => "server",
            Self::Gone => "gone",
            Self::Stuck => "stuck",
            Self::Aborted => "aborted",
            Self::Dropped => "dropped",
            Self::Panicked => "panicked",
        }
    }
}

pub(crate) fn opened() {
    counter!("liveset_connections_opened_total").increment(1);
}

pub(crate) fn ended(how: Ended) {
    counter!("liveset_connections_closed_total", "by" => how.as_str()).increment(1);
}

pub(crate) fn stuck() {
    counter!("liveset_write_timeouts_total").increment(1);
}

pub(crate) fn paused() {
    counter!("liveset_pauses_total").increment(1);
}

pub(crate) fn fault(fault: Fault) {
    let fault = match fault {
        Fault::Protocol => "protocol",
        Fault::Utf8 => "utf8",
        Fault::TooLarge => "too_large",
        Fault::Binary => "binary",
        Fault::Flood => "flood",
    };
    counter!("liveset_transport_faults_total", "fault" => fault).increment(1);
}

/// A client is told of an error.
pub(crate) fn told(code: ErrorCode) {
    counter!("liveset_errors_total", "code" => code.as_str()).increment(1);
}

pub(crate) fn received(bytes: usize) {
    counter!("liveset_messages_received_total").increment(1);
    counter!("liveset_bytes_received_total").increment(bytes as u64);
}

/// A batch was taken by the socket; the oldest of it waited since then.
pub(crate) fn sent(messages: u64, bytes: usize, since: Option<Instant>) {
    counter!("liveset_messages_sent_total").increment(messages);
    counter!("liveset_bytes_sent_total").increment(bytes as u64);
    counter!("liveset_writes_total").increment(1);
    if let Some(since) = since {
        histogram!("liveset_delivery_seconds").record(since.elapsed().as_secs_f64());
    }
}

/// A socket that takes nothing, until this is dropped.
pub(crate) struct Stall(Instant);

impl Stall {
    pub(crate) fn begin() -> Self {
        gauge!("liveset_stalled_connections").increment(1.0);
        Self(Instant::now())
    }
}

impl Drop for Stall {
    fn drop(&mut self) {
        gauge!("liveset_stalled_connections").decrement(1.0);
        histogram!("liveset_write_stall_seconds").record(self.0.elapsed().as_secs_f64());
    }
}

/// A close frame was sent.
pub(crate) fn close_sent(code: Option<u16>) {
    let code = code.map_or_else(|| "none".to_owned(), |code| code.to_string());
    counter!("liveset_close_frames_sent_total", "code" => code).increment(1);
}

/// Diffs were copied for everyone who watches.
pub(crate) fn fanned_out(took: Duration) {
    histogram!("liveset_fan_out_seconds").record(took.as_secs_f64());
}

pub(crate) fn authenticated(outcome: &'static str, took: Duration) {
    counter!("liveset_authentications_total", "outcome" => outcome).increment(1);
    histogram!("liveset_authentication_seconds").record(took.as_secs_f64());
}

/// A token was not looked at, because too many from its address were refused.
pub(crate) fn unauthenticated() {
    counter!("liveset_authentications_total", "outcome" => "limited").increment(1);
    let limit = limit!(AuthLimits.failures_per_address).full_name;
    counter!("liveset_limit_refusals_total", "limit" => limit).increment(1);
}

pub(crate) fn committed(outcome: &'static str, ops: usize, took: Duration) {
    counter!("liveset_commits_total", "outcome" => outcome).increment(1);
    histogram!("liveset_commit_ops").record(ops as f64);
    histogram!("liveset_commit_seconds").record(took.as_secs_f64());
}

pub(crate) fn published(deliveries: usize) {
    counter!("liveset_events_published_total").increment(1);
    counter!("liveset_event_deliveries_total").increment(deliveries as u64);
}

pub(crate) fn queried(outcome: &'static str, took: Duration) {
    counter!("liveset_queries_total", "outcome" => outcome).increment(1);
    histogram!("liveset_query_seconds").record(took.as_secs_f64());
}

pub(crate) fn panicked(place: &'static str) {
    counter!("liveset_panics_total", "place" => place).increment(1);
}

/// Gives the recorder a help text for each metric of a table in Markdown: name, kind, labels, meaning.
#[cfg(feature = "metrics")]
pub(crate) fn describe(table: &'static str) {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    for row in table.lines().filter_map(|line| line.strip_prefix("| `liveset_")) {
        let mut cells = row.split('|').map(str::trim);
        let (Some(name), Some(kind), Some(_), Some(meaning)) =
            (cells.next(), cells.next(), cells.next(), cells.next())
        else {
            continue;
        };
        let name = format!("liveset_{}", name.trim_end_matches('`'));
        let help = plain(meaning);
        match kind {
            "counter" => describe_counter!(name, help),
            "gauge" => describe_gauge!(name, help),
            _ => describe_histogram!(name, help),
        }
    }
}

/// Text without the marks of Markdown: of a link, what it says.
#[cfg(feature = "metrics")]
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, (said, after))) = rest.split_once('[').and_then(|(before, link)| {
        let (said, target) = link.split_once("](")?;
        Some((before, (said, target.split_once(')')?.1)))
    }) {
        plain.push_str(before);
        plain.push_str(said);
        rest = after;
    }
    plain.push_str(rest);
    plain.retain(|c| c != '`');
    let first = plain.chars().next().map(|first| first.to_uppercase().to_string());
    first.map_or_else(String::new, |first| first + plain.get(1..).unwrap_or_default())
}

/// Writes what is held now into gauges, and what the engine has counted into counters.
#[cfg(feature = "metrics")]
pub(crate) fn record(stats: &Stats) {
    let hub = &stats.hub;
    gauge!("liveset_connections").set(stats.connections as f64);
    gauge!("liveset_connections_by_state", "state" => "authenticating").set(hub.authenticating as f64);
    gauge!("liveset_connections_by_state", "state" => "closing").set(hub.closing as f64);
    let active = hub.connections.saturating_sub(hub.authenticating + hub.closing);
    gauge!("liveset_connections_by_state", "state" => "active").set(active as f64);
    gauge!("liveset_answers_waiting").set(hub.backlog.control as f64);
    gauge!("liveset_events_waiting").set(hub.backlog.events as f64);
    gauge!("liveset_changes_waiting").set(hub.backlog.changes as f64);
    gauge!("liveset_changes_waiting_bytes").set(hub.backlog.bytes as f64);
    gauge!("liveset_initial_bytes_waiting").set(hub.backlog.initial_bytes as f64);
    counter!("liveset_changes_folded_total").absolute(hub.sessions.changes_folded);
    counter!("liveset_events_dropped_total").absolute(hub.sessions.events_dropped);
    counter!("liveset_messages_invalid_total").absolute(hub.sessions.invalid);
    counter!("liveset_restrictions_broken_total").absolute(hub.broken_restrictions);
    counter!("liveset_diffs_written_once_total").absolute(hub.handed_past);
    for (limit, count) in hub.refusals.iter() {
        counter!("liveset_limit_refusals_total", "limit" => limit).absolute(count);
    }
    gauge!("liveset_subjects").set(hub.subjects as f64);
    for tenant in &hub.tenants {
        let name = tenant.name.to_string();
        gauge!("liveset_tenant_connections", "tenant" => name.clone()).set(tenant.connections as f64);
        gauge!("liveset_tenant_live_queries", "tenant" => name.clone()).set(tenant.live_queries as f64);
        counter!("liveset_tenant_steps_total", "tenant" => name).absolute(tenant.steps);
    }
    gauge!("liveset_query_bytes").set(hub.query_bytes as f64);
    gauge!("liveset_subscriptions").set(hub.subscriptions as f64);
    gauge!("liveset_live_queries").set(hub.live_queries as f64);
    gauge!("liveset_watches").set(hub.watches as f64);
    gauge!("liveset_waiting").set(hub.waiting as f64);
    gauge!("liveset_positions_awaited").set(hub.awaited as f64);
    gauge!("liveset_deferred").set(hub.deferred as f64);
    gauge!("liveset_feeds").set(hub.feeds as f64);
    gauge!("liveset_resume_log_changes").set(hub.resume_log_changes as f64);
    gauge!("liveset_resume_log_bytes").set(hub.resume_log_bytes as f64);
    gauge!("liveset_lingering_feeds").set(hub.lingering_feeds as f64);
    counter!("liveset_lingering_feeds_given_up_total").absolute(hub.given_up);
    counter!("liveset_queries_planned_total").absolute(hub.planned);
    counter!("liveset_filters_parsed_locked_total").absolute(hub.parsed);
    for (input, hold) in hub.holds.iter() {
        let bounds = liveset_hub::Holds::BOUNDS.iter().map(u64::to_string).chain(["+Inf".to_owned()]);
        for (bound, count) in bounds.zip(hold.up_to) {
            counter!("liveset_holds_total", "input" => input, "steps" => bound).absolute(count);
        }
        counter!("liveset_hold_steps_total", "input" => input).absolute(hold.steps);
        gauge!("liveset_hold_steps_max", "input" => input).set(hold.longest as f64);
    }
    let bounds = liveset_hub::Delays::BOUNDS.iter().map(u64::to_string).chain(["+Inf".to_owned()]);
    for (bound, count) in bounds.zip(hub.delays.up_to) {
        counter!("liveset_diff_delays_total", "holds" => bound).absolute(count);
    }
    gauge!("liveset_diff_delay_holds_max").set(hub.delays.longest.holds as f64);
    gauge!("liveset_diff_delay_steps_max").set(hub.delays.longest.steps as f64);
    let engine = &hub.engine;
    gauge!("liveset_engine_behind").set(engine.behind as f64);
    gauge!("liveset_engine_behind_rows").set(engine.behind_rows as f64);
    gauge!("liveset_engine_behind_bytes").set(engine.behind_bytes as f64);
    counter!("liveset_engine_steps_total").absolute(engine.steps);
    counter!("liveset_engine_fell_behind_total").absolute(engine.fell_behind);
    counter!("liveset_engine_made_again_total").absolute(engine.made_again);
    gauge!("liveset_engine_nodes").set(engine.nodes as f64);
    gauge!("liveset_engine_views").set(engine.views as f64);
    gauge!("liveset_engine_unindexed_views").set(engine.unindexed_views as f64);
    gauge!("liveset_engine_feeds").set(engine.feeds as f64);
    gauge!("liveset_engine_indexes").set(engine.indexes as f64);
    gauge!("liveset_engine_deadlines").set(engine.deadlines as f64);
    gauge!("liveset_engine_row_bytes").set(engine.row_bytes as f64);
    gauge!("liveset_engine_index_bytes").set(engine.index_bytes as f64);
    gauge!("liveset_engine_window_bytes").set(engine.window_bytes as f64);
    counter!("liveset_engine_nodes_changed_total").absolute(engine.nodes_changed);
    counter!("liveset_engine_predicates_evaluated_total").absolute(engine.predicates_evaluated);
    counter!("liveset_engine_rows_visited_total").absolute(engine.rows_visited);
    counter!("liveset_engine_candidates_found_total").absolute(engine.candidates_found);
    counter!("liveset_engine_candidates_scanned_total").absolute(engine.candidates_scanned);
    counter!("liveset_engine_candidates_by_value_total").absolute(engine.candidates_by_value);
    counter!("liveset_engine_candidates_by_item_total").absolute(engine.candidates_by_item);
    counter!("liveset_engine_candidates_by_range_total").absolute(engine.candidates_by_range);
    counter!("liveset_engine_candidates_by_stretch_total").absolute(engine.candidates_by_stretch);
    counter!("liveset_engine_rows_visited_refilling_total").absolute(engine.rows_visited_refilling);
    counter!("liveset_engine_refills_total").absolute(engine.refills);
    counter!("liveset_engine_rechosen_total").absolute(engine.rechosen);
    counter!("liveset_engine_windows_touched_total").absolute(engine.windows_touched);
    counter!("liveset_engine_deadlines_fired_total").absolute(engine.deadlines_fired);
    counter!("liveset_engine_flips_total").absolute(engine.flips);
    counter!("liveset_engine_refilled_total").absolute(engine.refilled);
    counter!("liveset_engine_displaced_total").absolute(engine.displaced);
    counter!("liveset_engine_changes_out_total").absolute(engine.changes_out);
    counter!("liveset_engine_clock_set_back_total").absolute(engine.clock_set_back);
}
