//! How many connections are open, in all and from one address, and how many of them have said nothing yet. Those of proxies count for
//! the clients that they speak for, once these are known.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use liveset::ClientAddress;
use tokio::sync::{Notify, watch};

use crate::accept::AcceptLimits;
use crate::limits::Full;

/// The connections that are open.
#[derive(Debug, Default)]
pub(crate) struct Open {
    counts: Mutex<Counts>,
    refused: Mutex<Refused>,
    /// How many there are, for whoever waits for the last of them.
    count: watch::Sender<usize>,
}

/// A warning at most so often: a storm of connections is not to be one of lines.
const WARN_EVERY: Duration = Duration::from_secs(1);
/// A connection that was served so lately is in use.
const IN_USE: Duration = Duration::from_secs(1);

/// Clients that were turned away, over whatever cap.
#[derive(Debug, Default)]
struct Refused {
    said: Option<Instant>,
    /// How many since then.
    unsaid: u64,
}

#[derive(Debug, Default)]
struct Counts {
    all: Count,
    by_address: HashMap<IpAddr, Count>,
    /// Connections whose requests are all answered, those first that have waited longest for another.
    idle: BTreeMap<u64, (Instant, Arc<Leave>)>,
    /// Names of those.
    made: u64,
    /// Connections that were told to go and are not gone: newcomers have their place already.
    leaving: usize,
}

/// Tells a connection to go.
#[derive(Debug, Default)]
struct Leave {
    told: AtomicBool,
    notify: Notify,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    open: usize,
    /// Of these, those that have not sent the head of a request yet.
    handshakes: usize,
}

impl Open {
    /// Takes a connection in, its handshake in progress, unless it is over a cap. Where all places are taken, it has that of the
    /// connection that is idle for longest.
    pub(crate) fn enter(open: &Arc<Open>, address: IpAddr, limits: &AcceptLimits) -> Result<Slot, Full> {
        let is_proxy = limits.trusted_proxies.contains(address);
        let address = ClientAddress(address).counted(limits.http.count_loopback).filter(|_| !is_proxy);
        let mut counts = open.counts();
        if counts.all.handshakes >= limits.http.max_handshakes {
            return Err(Full::Handshakes);
        }
        if let Some(address) = address {
            let of_address = counts.by_address.get(&address).copied().unwrap_or_default();
            if of_address.open >= limits.http.max_connections_per_address {
                return Err(Full::ConnectionsOfAddress);
            }
            if of_address.handshakes >= limits.http.max_handshakes_per_address {
                return Err(Full::HandshakesOfAddress);
            }
        }
        // Last, so that nobody goes for a newcomer that does not come in.
        let is_full = counts.all.open - counts.leaving >= limits.http.max_connections;
        if is_full && (limits.http.max_connections == 0 || !counts.make_room(Duration::ZERO)) {
            return Err(Full::Connections);
        }
        counts.change(address, |count| {
            count.open += 1;
            count.handshakes += 1;
        });
        open.count.send_replace(counts.all.open);
        let client = Mutex::new(None);
        let leave = Arc::default();
        let rests_as = Mutex::default();
        let in_handshake = AtomicBool::new(true);
        Ok(Slot { open: Arc::clone(open), address, in_handshake, client, leave, rests_as })
    }

    /// Tells the connection that is idle for longest to go, if there is one that was not served a moment ago: whoever fills all places
    /// and says nothing takes none of those that are in use.
    pub(crate) fn make_room(&self) -> bool {
        self.counts().make_room(IN_USE)
    }

    /// Tells of a client that is turned away: counts it, and logs it unless another was logged a moment ago.
    pub(crate) fn tell_refused(&self, client: IpAddr, full: Full) {
        metrics::counter!("liveset_connections_refused_total", "cap" => full.as_str()).increment(1);
        let to_say = {
            let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
            refused.unsaid += 1;
            let is_due = refused.said.is_none_or(|at| at.elapsed() >= WARN_EVERY);
            is_due
                .then(|| std::mem::replace(&mut *refused, Refused { said: Some(Instant::now()), unsaid: 0 }))
        };
        // Not under the lock: the log may be slow.
        if let Some(Refused { unsaid, .. }) = to_say {
            tracing::warn!(%client, refused = unsaid, "too many {}", full.as_str());
        }
    }

    /// Waits until there are none.
    pub(crate) async fn emptied(&self) {
        // The sender is here: it is not gone.
        let _ = self.count.subscribe().wait_for(|count| *count == 0).await;
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn make_room(&mut self, rested: Duration) -> bool {
        let Some(first) = self.idle.first_entry().filter(|first| first.get().0.elapsed() >= rested) else {
            return false;
        };
        let (_, leave) = first.remove();
        leave.told.store(true, Ordering::Relaxed);
        leave.notify.notify_one();
        self.leaving += 1;
        true
    }

    fn change(&mut self, address: Option<IpAddr>, change: impl Fn(&mut Count)) {
        change(&mut self.all);
        metrics::gauge!("liveset_http_connections").set(self.all.open as f64);
        metrics::gauge!("liveset_http_handshakes").set(self.all.handshakes as f64);
        if let Some(address) = address {
            self.change_of(address, change);
        }
    }

    fn change_of(&mut self, address: IpAddr, change: impl Fn(&mut Count)) {
        let of_address = self.by_address.entry(address).or_default();
        change(of_address);
        if of_address.open == 0 {
            self.by_address.remove(&address);
        }
    }
}

/// One open connection, counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    open: Arc<Open>,
    address: Option<IpAddr>,
    in_handshake: AtomicBool,
    /// Of a proxy's connection: for whom it counts besides.
    client: Mutex<Option<IpAddr>>,
    leave: Arc<Leave>,
    /// Its name among the idle.
    rests_as: Mutex<Option<u64>>,
}

impl Slot {
    /// All its requests are answered: from now on it may be told to [leave](Slot::told_to_leave).
    pub(crate) fn rest(&self) {
        let mut rests_as = self.rests_as.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counts = self.open.counts();
        counts.made += 1;
        let name = counts.made;
        if let Some(before) = rests_as.replace(name) {
            counts.idle.remove(&before);
        }
        counts.idle.insert(name, (Instant::now(), Arc::clone(&self.leave)));
    }

    /// A request has come.
    pub(crate) fn work(&self) {
        let mut rests_as = self.rests_as.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(name) = rests_as.take() else { return };
        let mut counts = self.open.counts();
        counts.idle.remove(&name);
        // It goes only after that.
        if self.leave.told.swap(false, Ordering::Relaxed) {
            counts.leaving -= 1;
        }
    }

    /// Waits until another needs its place while it rests.
    pub(crate) async fn told_to_leave(&self) {
        self.leave.notify.notified().await;
    }

    /// The head of a request has come. Cheap where it is not the first.
    pub(crate) fn end_handshake(&self) {
        if self.in_handshake.swap(false, Ordering::Relaxed) {
            self.open.counts().change(self.address, |count| {
                count.handshakes = count.handshakes.saturating_sub(1);
            });
        }
    }

    /// A proxy's connection counts for this client from here on, and no more for whom it was counted before.
    pub(crate) fn speak_for(&self, client: Option<IpAddr>, limits: &AcceptLimits) -> Result<(), Full> {
        let mut held = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        let address = client.and_then(|client| ClientAddress(client).counted(limits.http.count_loopback));
        if *held == address {
            return Ok(());
        }
        let mut counts = self.open.counts();
        if let Some(before) = held.take() {
            counts.change_of(before, |count| count.open = count.open.saturating_sub(1));
        }
        let (Some(client), Some(address)) = (client, address) else { return Ok(()) };
        let open = counts.by_address.get(&address).map_or(0, |count| count.open);
        if open >= limits.http.max_connections_per_address {
            drop((counts, held));
            self.open.tell_refused(client, Full::ConnectionsOfAddress);
            return Err(Full::ConnectionsOfAddress);
        }
        counts.change_of(address, |count| count.open += 1);
        *held = Some(address);
        Ok(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.work();
        if let Some(client) = self.client.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            self.open.counts().change_of(client, |count| count.open = count.open.saturating_sub(1));
        }
        let in_handshake = usize::from(*self.in_handshake.get_mut());
        let mut counts = self.open.counts();
        counts.change(self.address, |count| {
            count.open = count.open.saturating_sub(1);
            count.handshakes = count.handshakes.saturating_sub(in_handshake);
        });
        self.open.count.send_replace(counts.all.open);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::HttpLimits;
    use crate::proxies::Proxies;

    fn enter(open: &Arc<Open>, address: &str, limits: &AcceptLimits) -> Result<Slot, Full> {
        Open::enter(open, address.parse().unwrap(), limits)
    }

    #[test]
    fn connections_are_capped_in_all_and_by_address() {
        let limits =
            AcceptLimits::from(HttpLimits::default().max_connections(4).max_connections_per_address(1));
        let open = Arc::new(Open::default());
        let first = enter(&open, "192.0.2.1", &limits).unwrap();
        let mapped = enter(&open, "::ffff:192.0.2.1", &limits);
        assert_eq!(mapped.unwrap_err(), Full::ConnectionsOfAddress, "the same address, mapped");
        let _v6 = enter(&open, "2001:db8::1", &limits).unwrap();
        assert_eq!(
            enter(&open, "2001:db8::2", &limits).unwrap_err(),
            Full::ConnectionsOfAddress,
            "the same /64"
        );
        let _a = enter(&open, "127.0.0.1", &limits).unwrap();
        let _b = enter(&open, "::1", &limits).unwrap();
        assert_eq!(enter(&open, "127.0.0.1", &limits).unwrap_err(), Full::Connections, "all are taken");
        drop(first);
        assert!(enter(&open, "192.0.2.1", &limits).is_ok());
        assert_eq!(open.counts().by_address.len(), 1);
    }

    #[test]
    fn who_is_idle_for_longest_goes_for_a_newcomer() {
        let limits = AcceptLimits::from(HttpLimits::default().max_connections(3));
        let open = Arc::new(Open::default());
        let slots: Vec<_> = (0..3).map(|_| enter(&open, "127.0.0.1", &limits).unwrap()).collect();
        assert_eq!(enter(&open, "127.0.0.1", &limits).unwrap_err(), Full::Connections, "none is idle");
        let told = |slot: &Slot| slot.leave.told.load(Ordering::Relaxed);
        slots[1].rest();
        slots[0].rest();
        slots[1].work();
        slots[1].rest();
        // The first rests for longer than the second, which had another request.
        let _newcomer = enter(&open, "127.0.0.1", &limits).unwrap();
        assert_eq!(slots.iter().map(told).collect::<Vec<_>>(), [true, false, false]);
        let _newcomer = enter(&open, "127.0.0.1", &limits).unwrap();
        assert!(told(&slots[1]));
        assert_eq!(enter(&open, "127.0.0.1", &limits).unwrap_err(), Full::Connections);
        // Its request came first: it is open as before, and goes when that is answered.
        slots[1].work();
        let found = |counts: MutexGuard<'_, Counts>| (counts.all.open, counts.leaving, counts.idle.len());
        assert_eq!(found(open.counts()), (5, 1, 0));
        drop(slots);
        assert_eq!(found(open.counts()), (2, 0, 0));
    }

    #[test]
    fn loopback_is_counted_where_that_is_asked_for() {
        let limits =
            AcceptLimits::from(HttpLimits::default().max_connections_per_address(1).count_loopback(true));
        let open = Arc::new(Open::default());
        let _first = enter(&open, "127.0.0.1", &limits).unwrap();
        assert_eq!(enter(&open, "127.0.0.1", &limits).unwrap_err(), Full::ConnectionsOfAddress);
        assert!(enter(&open, "127.0.0.2", &limits).is_ok());
    }

    #[test]
    fn handshakes_are_capped_in_all_and_by_address_until_they_end() {
        let limits =
            AcceptLimits::from(HttpLimits::default().max_handshakes(3).max_handshakes_per_address(2));
        let open = Arc::new(Open::default());
        let first = enter(&open, "192.0.2.1", &limits).unwrap();
        let second = enter(&open, "192.0.2.1", &limits).unwrap();
        assert_eq!(enter(&open, "192.0.2.1", &limits).unwrap_err(), Full::HandshakesOfAddress);
        let _local = enter(&open, "127.0.0.1", &limits).unwrap();
        assert_eq!(enter(&open, "127.0.0.1", &limits).unwrap_err(), Full::Handshakes);
        first.end_handshake();
        first.end_handshake();
        let _third = enter(&open, "192.0.2.1", &limits).unwrap();
        assert_eq!(enter(&open, "192.0.2.2", &limits).unwrap_err(), Full::Handshakes);
        drop(second);
        assert!(enter(&open, "192.0.2.1", &limits).is_ok(), "one that was given up is counted no more");
        drop(first);
        let all = open.counts().all;
        assert_eq!((all.open, all.handshakes), (2, 2));
    }

    #[test]
    fn a_proxy_counts_as_its_clients() {
        let limits = AcceptLimits {
            trusted_proxies: Proxies::new(["192.0.2.1"]).unwrap(),
            ..HttpLimits::default().max_connections_per_address(2).into()
        };
        let open = Arc::new(Open::default());
        let [client, other, local] =
            ["198.51.100.7", "203.0.113.1", "::1"].map(|address| address.parse().ok());
        let through: Vec<_> = (0..4).map(|_| enter(&open, "192.0.2.1", &limits).unwrap()).collect();
        assert!(open.counts().by_address.is_empty());
        let _direct = enter(&open, "198.51.100.7", &limits).unwrap();
        assert_eq!(through[0].speak_for(client, &limits), Ok(()));
        assert_eq!(through[0].speak_for(client, &limits), Ok(()), "it is counted once");
        assert_eq!(through[1].speak_for(client, &limits), Err(Full::ConnectionsOfAddress));
        assert_eq!(enter(&open, "198.51.100.7", &limits).unwrap_err(), Full::ConnectionsOfAddress);
        assert_eq!(through[1].speak_for(other, &limits), Ok(()));
        // The next request of the same connection is somebody else's.
        assert_eq!(through[0].speak_for(other, &limits), Ok(()));
        assert_eq!(through[2].speak_for(other, &limits), Err(Full::ConnectionsOfAddress));
        assert_eq!(through[2].speak_for(client, &limits), Ok(()));
        // Who is refused is not counted, nor whom it was before.
        assert_eq!(through[2].speak_for(other, &limits), Err(Full::ConnectionsOfAddress));
        assert_eq!(through[3].speak_for(client, &limits), Ok(()));
        assert_eq!(through[3].speak_for(None, &limits), Ok(()));
        assert_eq!(through[2].speak_for(client, &limits), Ok(()));
        // A proxy that does not say counts as itself, loopback as nobody.
        let itself = "192.0.2.1".parse().ok();
        assert_eq!(through[0].speak_for(itself, &limits), Ok(()));
        assert_eq!(through[1].speak_for(itself, &limits), Ok(()));
        assert_eq!(through[3].speak_for(itself, &limits), Err(Full::ConnectionsOfAddress));
        assert_eq!(through[3].speak_for(local, &limits), Ok(()));
        drop(through);
        assert_eq!(open.counts().by_address.len(), 1);
        assert_eq!(open.counts().all.open, 1);
    }

    #[test]
    fn caps_of_zero_let_nobody_in_and_keep_nothing() {
        let open = Arc::new(Open::default());
        for (limits, expected) in [
            (AcceptLimits::from(HttpLimits::default().max_connections(0)), Full::Connections),
            (
                AcceptLimits::from(HttpLimits::default().max_connections_per_address(0)),
                Full::ConnectionsOfAddress,
            ),
            (AcceptLimits::from(HttpLimits::default().max_handshakes(0)), Full::Handshakes),
            (
                AcceptLimits::from(HttpLimits::default().max_handshakes_per_address(0)),
                Full::HandshakesOfAddress,
            ),
        ] {
            assert_eq!(enter(&open, "192.0.2.1", &limits).unwrap_err(), expected);
        }
        assert!(open.counts().by_address.is_empty());
        assert_eq!(open.counts().all.open, 0);
    }
}
