//! Whose query is answered next. Turns go round by subject: whoever asks for much waits behind themselves.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use liveset_hub::turns::{Line, Ring, Turns};
use tokio::sync::oneshot;

/// Hands out turns, so many at once.
#[derive(Debug)]
pub(super) struct Queue {
    per_subject: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Turns that nobody has.
    free: usize,
    waiting: Ring<Arc<str>, Line<Waiter>>,
    /// Requests of each subject, whether they wait or have a turn. None is kept that has none.
    requests: HashMap<Arc<str>, usize>,
    /// Names of those that wait.
    made: u64,
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    granted: oneshot::Sender<()>,
}

/// A request that was let in, until it is dropped.
#[derive(Debug)]
pub(super) struct Request {
    queue: Arc<Queue>,
    subject: Arc<str>,
    had_turn: bool,
}

/// A turn, until it is dropped. It may go to another thread.
#[derive(Debug)]
pub(super) struct Turn(Arc<Queue>);

/// The subject has as many requests as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full(pub(super) usize);

impl Queue {
    /// `at_once` turns at the same time, and `per_subject` requests of each subject; 0 counts as 1 for both.
    pub(super) fn new(at_once: usize, per_subject: usize) -> Queue {
        let state = State { free: at_once.max(1), ..State::default() };
        Queue { per_subject: per_subject.max(1), state: Mutex::new(state) }
    }

    /// Lets a request in.
    ///
    /// # Errors
    ///
    /// Its subject has as many as it may.
    pub(super) fn enter(self: &Arc<Queue>, subject: &Arc<str>) -> Result<Request, Full> {
        let mut state = self.lock();
        let requests = state.requests.entry(subject.clone()).or_default();
        if *requests >= self.per_subject {
            return Err(Full(self.per_subject));
        }
        *requests += 1;
        Ok(Request { queue: self.clone(), subject: subject.clone(), had_turn: false })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A turn is over: whoever is next has it.
    fn pass_on(&self) {
        let mut state = self.lock();
        while let Some((_, waiter)) = state.waiting.next() {
            if waiter.granted.send(()).is_ok() {
                return;
            }
        }
        state.free += 1;
    }
}

impl Request {
    /// Waits for the next turn. Whoever had one has the next behind all other subjects, and ahead of the other requests of its own.
    /// Where the wait is given up, its place goes to the next.
    pub(super) async fn turn(&mut self) -> Turn {
        let (number, granted) = {
            let mut state = self.queue.lock();
            if state.free > 0 {
                state.free -= 1;
                self.had_turn = true;
                return Turn(self.queue.clone());
            }
            state.made += 1;
            let (sender, granted) = oneshot::channel();
            let waiter = Waiter { number: state.made, granted: sender };
            let place = (self.subject.clone(), ());
            let number = state.made;
            match self.had_turn {
                true => state.waiting.put_back(place, waiter),
                false => state.waiting.push(place, waiter),
            }
            (number, granted)
        };
        let mut wait = Wait { queue: &self.queue, subject: &self.subject, number, granted, is_over: false };
        // The sender is in the queue until it is used.
        let _ = (&mut wait.granted).await;
        wait.is_over = true;
        drop(wait);
        self.had_turn = true;
        Turn(self.queue.clone())
    }
}

/// A wait that may be given up.
struct Wait<'a> {
    queue: &'a Arc<Queue>,
    subject: &'a Arc<str>,
    number: u64,
    granted: oneshot::Receiver<()>,
    /// The turn was taken.
    is_over: bool,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let number = self.number;
        self.queue.lock().waiting.retain(&(self.subject.clone(), ()), |waiter| waiter.number != number);
        // It may have been granted just now.
        self.granted.close();
        if self.granted.try_recv().is_ok() {
            self.queue.pass_on();
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.pass_on();
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        if let Some(requests) = state.requests.get_mut(&self.subject) {
            *requests -= 1;
            if *requests == 0 {
                state.requests.remove(&self.subject);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn queue(at_once: usize, per_subject: usize) -> Arc<Queue> {
        Arc::new(Queue::new(at_once, per_subject))
    }

    fn request(queue: &Arc<Queue>, subject: &str) -> Request {
        queue.enter(&subject.into()).expect("there is room")
    }

    fn is_empty(queue: &Queue) -> bool {
        let state = queue.lock();
        state.waiting.is_empty() && state.requests.is_empty()
    }

    #[tokio::test]
    async fn a_modest_subject_has_every_other_turn() {
        let queue = queue(1, 64);
        let mut first = request(&queue, "greedy");
        let mut held = Some(first.turn().await);
        let mut greedy: Vec<_> = (0..50).map(|_| request(&queue, "greedy")).collect();
        let mut waits: Vec<_> = greedy.iter_mut().map(|request| Box::pin(request.turn())).collect();
        for wait in &mut waits {
            assert!(wait.as_mut().now_or_never().is_none());
        }
        let mut modest = request(&queue, "modest");
        let mut turns_of_others = 0;
        for _ in 0..10 {
            let mut turn = Box::pin(modest.turn());
            assert!(turn.as_mut().now_or_never().is_none());
            loop {
                held.take();
                if let Some(mine) = turn.as_mut().now_or_never() {
                    held = Some(mine);
                    break;
                }
                turns_of_others += 1;
                let ready = waits.iter_mut().position(|wait| {
                    held = wait.as_mut().now_or_never();
                    held.is_some()
                });
                drop(waits.remove(ready.expect("somebody has the turn")));
            }
        }
        assert!(turns_of_others <= 10, "{turns_of_others}");
        drop((held, waits));
        drop((greedy, modest, first));
        assert!(is_empty(&queue));
        assert_eq!(queue.lock().free, 1);
    }

    #[tokio::test]
    async fn who_gives_up_leaves_the_queue_and_loses_no_turn() {
        let queue = queue(1, 64);
        let mut a = request(&queue, "a");
        let turn = a.turn().await;
        let (mut b, mut c) = (request(&queue, "b"), request(&queue, "c"));
        let (mut of_b, mut of_c) = (Box::pin(b.turn()), Box::pin(c.turn()));
        assert!(of_b.as_mut().now_or_never().is_none() && of_c.as_mut().now_or_never().is_none());
        // While it waits.
        drop(of_b);
        assert_eq!(queue.lock().waiting.len(), 1);
        // When it was just granted.
        drop(turn);
        drop(of_c);
        assert_eq!(queue.lock().free, 1);
        drop((a, b, c));
        assert!(is_empty(&queue));
    }

    #[tokio::test]
    async fn a_subject_has_so_many_requests() {
        for (limit, expected) in [(0, 1), (1, 1), (3, 3)] {
            let queue = queue(4, limit);
            let subject: Arc<str> = "a".into();
            let requests: Vec<_> = (0..expected).map(|_| queue.enter(&subject).expect("room")).collect();
            assert_eq!(queue.enter(&subject).expect_err("one too many"), Full(expected));
            assert!(queue.enter(&"b".into()).is_ok(), "others have their own");
            drop(requests);
            assert!(queue.enter(&subject).is_ok());
            assert!(is_empty(&queue));
        }
    }

    #[tokio::test]
    async fn so_many_have_a_turn_at_once() {
        let queue = queue(2, 64);
        let mut requests: Vec<_> = (0..3).map(|_| request(&queue, "a")).collect();
        let mut waits: Vec<_> = requests.iter_mut().map(|request| Box::pin(request.turn())).collect();
        let first = waits[0].as_mut().now_or_never().expect("a turn");
        let _second = waits[1].as_mut().now_or_never().expect("a turn");
        assert!(waits[2].as_mut().now_or_never().is_none());
        drop(first);
        assert!(waits[2].as_mut().now_or_never().is_some());
    }
}
