//! A session against a model of the protocol.

mod answer;
mod client;
mod events;
mod live;
mod model;
mod op;
mod world;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use liveset_core::{
    About, Batch, CloseCode, Count, ErrorCode, Etag, Event, Monotonic, Refusal, Request, Resumption, Session,
    SessionLimits, SessionState, Ticket, Transmit, Verdict,
};

use answer::{Answer, Message, close_name};
use live::Live;
use model::{Asked, Model, Stand};
use op::Op;
use world::{View, World, difference, version_text};

/// Drives a session by operations, a line each (see `Op`), beside a model of the protocol. What the session asks of its
/// owner, what it answers and in which order, when it has something to send, its deadlines and its close are those of the
/// model; events and their warnings come as plain bookkeeping says; and a client that folds what it is sent has, whenever
/// nothing waits, the result of each of its live queries, and at each version the result of that version.
pub fn session(data: &[u8]) {
    session_reached(data);
}

/// The same; names what was reached: operations by their letter, answers by their type, errors and closes by their code.
pub fn session_reached(data: &[u8]) -> BTreeSet<String> {
    let mut run = Run::new();
    for line in data.split(|byte| *byte == b'\n').take(400) {
        if let Some((letter, op)) = Op::read(line) {
            run.reached.insert(char::from(letter).to_string());
            run.carry_out(op);
        }
    }
    run.carry_out(Op::Answer { newest: false, how: b"" });
    run.carry_out(Op::Read(None));
    run.reached
}

struct Run {
    session: Session,
    model: Model,
    world: World,
    now: Monotonic,
    chunk_rows: usize,
    published: u64,
    /// What the owner has not answered, the oldest first.
    unanswered: VecDeque<Request>,
    reached: BTreeSet<String>,
}

impl Run {
    fn new() -> Run {
        let now = Monotonic::from_nanos(1);
        let limits = SessionLimits::default()
            .message_bytes(600)
            .id_bytes(16)
            .event_queue(events::QUEUE)
            .event_bytes(events::BYTES)
            .backlog_changes(2)
            .chunk_rows(2)
            .subscriptions(3)
            .subscription_events(3)
            .path_bytes(12)
            .live_queries(3)
            .held_messages(3)
            .held_bytes(1_000)
            .messages_per_second(10)
            .message_burst(40)
            .rate_limited_in_a_row(3)
            .invalid_in_a_row(4)
            .awaited_positions(2)
            .control_messages(12);
        Run {
            model: Model::new(&limits, now),
            chunk_rows: limits.chunk_rows,
            session: Session::new(Arc::new(limits), now),
            world: World::new(),
            now,
            published: 0,
            unanswered: VecDeque::new(),
            reached: BTreeSet::new(),
        }
    }

    fn carry_out(&mut self, op: Op<'_>) {
        let now = self.now;
        match op {
            Op::Text(text) => {
                self.session.handle_text(now, text);
                self.model.text(now, text);
            }
            Op::Pass(halves) => {
                self.now = now + Duration::from_millis(500 * halves);
                self.session.handle_timeout(self.now);
                self.model.pass(self.now);
            }
            Op::Violate(violation) => {
                self.session.handle_violation(now, violation);
                self.model.violate(now, violation);
            }
            Op::Publish { path, event_type } => self.publish(path, event_type),
            Op::EndSubscription { id } => {
                self.session.end_subscription(id, ErrorCode::Forbidden, "x");
                self.model.end_subscription(id);
            }
            Op::Commit(writes) => self.commit(&writes),
            Op::EndLiveQuery(which) => {
                if let Some((id, ticket)) = self.pick(which) {
                    self.session.end_live_query(now, ticket, ErrorCode::Forbidden, "x");
                    self.model.end_live_query(&id);
                }
            }
            Op::Suspend(which) => self.suspend(which),
            Op::Move(which) => self.move_on(which),
            Op::Shutdown => {
                self.session.shutdown(now);
                self.model.shutdown(now);
            }
            Op::Withhold => {
                self.session.withhold();
                self.model.withhold();
            }
            Op::Fail(code) => {
                self.session.fail(now, code, "x");
                self.model.fail(now, code);
            }
            Op::Read(messages) => {
                for _ in 0..messages.unwrap_or(usize::MAX) {
                    if !self.read() {
                        break;
                    }
                }
            }
            Op::Answer { newest, how } => {
                let all = self.unanswered.len();
                let how = if how.is_empty() { [b'1'].repeat(all) } else { how.to_vec() };
                for how in how.into_iter().take(16) {
                    let request =
                        if newest { self.unanswered.pop_back() } else { self.unanswered.pop_front() };
                    let Some(request) = request else { break };
                    self.answer(request, how);
                    self.take_requests();
                }
            }
            Op::Renew(seconds) => {
                let expires = seconds.map(|seconds| now + Duration::from_secs(seconds.into()));
                self.session.renew(now, expires);
                self.model.renew(now, expires);
            }
        }
        self.take_requests();
        self.check();
    }

    // --- the owner ---

    fn take_requests(&mut self) {
        while let Some(request) = self.session.poll_request() {
            let asked = match request.clone() {
                Request::Verify { token, .. } => Asked::Verify(token.expose().to_owned()),
                Request::Subscribe { subscriptions, .. } => Asked::Subscribe(subscriptions),
                Request::Unsubscribed { subscriptions } => Asked::Unsubscribed(subscriptions),
                Request::CreateLiveQuery { id, query, options, since, have, .. } => {
                    Asked::Create { id: id.to_string(), query, options, since, have }
                }
                Request::AwaitPosition { ticket, position } => {
                    let waits = self.model.active().map(|active| &mut active.awaiting);
                    let wait = waits.and_then(|waits| waits.iter_mut().find(|wait| wait.ticket.is_none()));
                    wait.expect("it is waited for").ticket = Some(ticket);
                    Asked::Await(position)
                }
                Request::LiveQueryDestroyed { id, .. } => Asked::Destroyed(id.to_string()),
            };
            assert_eq!(Some(&asked), self.model.asked.pop_front().as_ref(), "what is asked of the owner");
            if !matches!(asked, Asked::Unsubscribed(_) | Asked::Destroyed(_)) {
                self.unanswered.push_back(request);
            }
        }
        assert_eq!(self.model.asked, [], "all that is to be asked of the owner");
    }

    fn answer(&mut self, request: Request, how: u8) {
        let now = self.now;
        let no = match how {
            b'0' => Some(ErrorCode::InvalidPath),
            b'4' => Some(ErrorCode::Overloaded),
            _ => None,
        };
        let refusal = |code| Refusal { code, message: "x".into(), id: None };
        match request {
            Request::Verify { attempt, .. } => {
                let after = |seconds| Some(now + Duration::from_secs(seconds));
                let verdict = match how {
                    b'0' => Verdict::Refused,
                    b'2' => Verdict::Accepted { expires: after(5) },
                    b'3' => Verdict::Accepted { expires: after(0) },
                    _ => Verdict::Accepted { expires: None },
                };
                // There is one at a time: another waits until this one is answered.
                let accepted = self.session.handle_verdict(now, attempt, verdict);
                assert_eq!(accepted, self.model.verdict(now, true, verdict));
                assert!(!self.session.handle_verdict(now, attempt, verdict), "it was answered");
                self.model.pass(now);
            }
            Request::Subscribe { ticket, subscriptions } => {
                let expected = self.model.subscribed(now, &subscriptions[0].id, no);
                match no {
                    Some(code) => self.session.refuse(now, ticket, refusal(code)),
                    None => assert_eq!(self.session.accept_subscriptions(now, ticket), expected),
                }
            }
            Request::CreateLiveQuery { ticket, id, since, have, .. } => {
                self.answer_create(ticket, &id, (since, have), how, no);
            }
            Request::AwaitPosition { ticket, position } => {
                let all = 1..=self.world.version;
                let version = position.parse().ok().filter(|version| all.contains(version) && no.is_none());
                let Some(version) = version else {
                    self.session.refuse(now, ticket, refusal(ErrorCode::UnknownPosition));
                    return self.model.unknown_position(ticket);
                };
                self.session.await_version(ticket, version);
                let waits = self.model.active().into_iter().flat_map(|active| &mut active.awaiting);
                waits
                    .filter(|wait| wait.ticket == Some(ticket))
                    .for_each(|wait| wait.version = Some(version));
            }
            Request::Unsubscribed { .. } | Request::LiveQueryDestroyed { .. } => {}
        }
    }

    fn answer_create(
        &mut self,
        ticket: Ticket,
        id: &str,
        (since, have): (Option<String>, Option<Vec<Etag>>),
        how: u8,
        no: Option<ErrorCode>,
    ) {
        let now = self.now;
        // What comes too late is ignored.
        let creating = self.model.creating(id);
        if let Some(code) = no {
            self.session.refuse(now, ticket, Refusal { code, message: "x".into(), id: None });
            if let Some(creating) = creating {
                self.model.refused(now, id, creating, code);
            }
            return;
        }
        let since = since.filter(|_| creating.as_ref().is_some_and(|creating| creating.options.resume));
        let known = since.as_deref().and_then(|since| Some((since, self.world.known(since)?)));
        let view = match &known {
            Some((_, (view, _))) => *view,
            None if how == b'5' => View::Even,
            None => View::All,
        };
        let window = self.world.window(view).clone();
        let positions = creating.as_ref().is_some_and(|creating| creating.options.positions);
        let resumption = match &known {
            Some((_, (_, had))) => {
                Some(Resumption { batch: Arc::new(difference(had, &window)), window: &window, drop: None })
            }
            None => have.as_ref().and_then(|have| Resumption::of_rows(have, &window, positions)),
        };
        let drop = resumption.as_ref().and_then(|resumption| resumption.drop.clone());
        let about = About { mark: view.mark().into(), ..About::default() };
        match resumption {
            Some(resumption) => self.session.resume_and_tell(now, ticket, resumption, about),
            None => self.session.accept_and_tell(now, ticket, Arc::new(window.clone()), about),
        }
        let Some(creating) = creating else { return };
        let (options, request_id, id_text) = (creating.options, creating.request_id, id.to_owned());
        let Count { total: total_count, capped } = window.count;
        let known = since.as_deref().and_then(|since| Some((since, &self.world.known(since)?.1)));
        let resumed = match (known, have, &drop) {
            (Some((since, had)), ..) => {
                Some(Live::resumed(ticket, options, view, (Some(since), &had.rows), &window))
            }
            (None, Some(have), Some(drop)) => {
                // Of etags that are there twice the first counts, which is never dropped for the second.
                let kept = (0..).zip(&have).filter(|(place, _)| !drop.contains(place)).map(|(_, etag)| etag);
                let row = |etag: &Etag| window.rows.iter().find(|row| row.etag() == *etag);
                let kept: Vec<_> = kept.map(|etag| row(etag).expect("what stays is there").clone()).collect();
                Some(Live::resumed(ticket, options, view, (None, &kept), &window))
            }
            _ => None,
        };
        let (live, answer) = match resumed {
            Some(live) => {
                let version = live.version();
                (live, Answer::Resumed { request_id, id: id_text, total_count, capped, version, drop })
            }
            None => {
                let version = options.resume.then(|| version_text(view, window.version));
                let has_hints = options.hints;
                let answer =
                    Answer::Created { request_id, id: id_text, total_count, capped, version, has_hints };
                (Live::created(ticket, options, view, &window), answer)
            }
        };
        self.model.live(now, id, live, answer);
    }

    fn publish(&mut self, path: &str, event_type: &str) {
        self.published += 1;
        let data = self.published.to_string();
        let timestamp = format!("2025-12-07T21:45:05.{:03}Z", self.published);
        let event = Event {
            event_type: event_type.into(),
            data: data.clone().into(),
            timestamp: timestamp.as_str().into(),
        };
        let queued = self.session.deliver(path, &Arc::new(event));
        let active = self.model.active();
        let expected =
            active.map_or(0, |active| active.streams.events.publish(path, event_type, &data, &timestamp));
        assert_eq!(queued, expected);
    }

    fn commit(&mut self, writes: &[(char, Option<u8>)]) {
        if matches!(self.model.stand, Stand::Draining { .. }) {
            // It is not told of anything more.
            return;
        }
        let [all, even] = self.world.commit(writes);
        let Some(active) = self.model.active() else { return };
        for live in active.streams.live.values().filter(|live| live.suspended.is_none()) {
            let batch: &Arc<Batch> = if live.view == View::All { &all } else { &even };
            self.session.live_query_changed(live.ticket, batch);
        }
    }

    /// One of the live queries that are there.
    fn pick(&mut self, which: usize) -> Option<(String, Ticket)> {
        let live = &self.model.active()?.streams.live;
        let (id, live) = live.iter().nth(which % live.len().max(1))?;
        Some((id.clone(), live.ticket))
    }

    fn suspend(&mut self, which: usize) {
        let Some((id, ticket)) = self.pick(which) else { return };
        let live = self.model.active().and_then(|active| active.streams.live.get_mut(&id)).expect("picked");
        if live.suspended.is_none() {
            let had = self.session.suspend_live_query(ticket, self.world.window(live.view).clone());
            live.suspend(had.expect("it is live"));
        }
    }

    fn move_on(&mut self, which: usize) {
        self.suspend(which);
        let Some((id, ticket)) = self.pick(which) else { return };
        let live = self.model.active().and_then(|active| active.streams.live.get_mut(&id)).expect("picked");
        let Some(had) = live.suspended.take() else { return };
        live.view = live.view.other();
        let (window, mark) = (self.world.window(live.view), live.view.mark().into());
        self.session.move_live_query(ticket, &Arc::new(difference(&had, window)), mark);
    }

    // --- what comes of it ---

    /// The transport takes a message; false where there is none.
    fn read(&mut self) -> bool {
        let mut out = Vec::new();
        let wanted = self.session.wants_transmit();
        let transmit = self.session.poll_transmit(self.now, &mut out);
        self.model.pass(self.now);
        assert_eq!(wanted, transmit.is_some(), "it says whether there is something");
        match transmit {
            Some(Transmit::Text) => self.read_text(&out),
            Some(Transmit::Close(code)) => self.read_close(code),
            None => {
                assert_eq!(self.model.answers, [], "all was answered");
                self.check_results();
                return false;
            }
        }
        true
    }

    fn read_text(&mut self, text: &[u8]) {
        let (name, id, told) = match Message::read(text) {
            Message::Answer(answer) => {
                self.reached.insert(answer.name());
                assert_eq!(Some(&answer), self.model.answers.pop_front().as_ref(), "the next answer");
                if answer == Answer::Ping {
                    self.model.pinged(self.now);
                }
                return;
            }
            Message::Commit => {
                self.reached.insert("commit".to_owned());
                let streams = self.model.streams().expect("it serves");
                assert!(streams.commits && self.world.shows_since(1, streams.live.values()));
                return;
            }
            Message::Reached(request_id) => {
                self.reached.insert("positionReached".to_owned());
                let active = self.model.active().expect("it serves");
                // Of those with one mark, the first.
                let is_reached =
                    |wait: &model::Awaiting| wait.request_id == request_id && wait.version.is_some();
                let place = active.awaiting.iter().position(is_reached).expect("it is waited for");
                let version = active.awaiting.remove(place).version.unwrap_or_default();
                for live in active.streams.live.values() {
                    assert!(live.has_loaded() && self.world.shows_since(version, [live]));
                }
                return;
            }
            Message::Told(name, id, told) => (name, id, told),
        };
        assert_eq!(self.model.answers, [], "answers go first");
        self.reached.insert(name);
        let streams = self.model.streams().expect("it serves");
        let Some(id) = id else { return streams.events.take(&told) };
        let live = streams.live.get_mut(&id).expect("nothing follows the end of a live query");
        live.take(&told, &self.world, self.chunk_rows);
    }

    fn read_close(&mut self, code: CloseCode) {
        assert_eq!(self.model.answers, [], "what was answered goes first");
        let expected = match &self.model.stand {
            Stand::Closing(code) => *code,
            Stand::Draining { .. } => {
                self.check_results();
                CloseCode::GoingAway
            }
            other => panic!("closed with {code:?} as {other:?}"),
        };
        assert_eq!(code, expected);
        self.reached.insert(close_name(code));
        self.model.stand = Stand::Closed;
    }

    /// Nothing waits: every client has everything.
    fn check_results(&mut self) {
        let Some(streams) = self.model.streams() else { return };
        assert!(streams.events.is_empty(), "all events were sent");
        for live in streams.live.values() {
            live.check(&self.world);
        }
    }

    /// What can be seen from outside, after each operation.
    fn check(&mut self) {
        let expected = match &self.model.stand {
            Stand::Awaiting { .. } => SessionState::AwaitingAuth,
            Stand::Verifying { .. } => SessionState::Verifying,
            Stand::Active(_) => SessionState::Active,
            Stand::Draining { .. } => SessionState::Draining,
            Stand::Closing(code) => SessionState::Closing(*code),
            Stand::Closed => {
                assert!(self.session.is_closed() && !self.session.wants_transmit());
                self.session.state()
            }
        };
        assert_eq!(self.session.state(), expected);
        assert_eq!(self.session.poll_timeout(), self.model.deadline());
        assert!(self.model.deadline().is_none_or(|deadline| deadline > self.now));
        assert_eq!(self.session.backlog().control, self.model.answers.len());
        let Some(streams) = self.model.streams() else { return };
        assert_eq!(self.session.backlog().event_bytes, streams.events.bytes());
        let mut subscriptions: Vec<_> = streams.events.subscriptions.iter().collect();
        subscriptions.sort_by(|a, b| a.id.cmp(&b.id));
        assert!(self.session.subscriptions().eq(subscriptions), "the subscriptions that are there");
        let live: BTreeSet<_> = streams.live.iter().map(|(id, live)| (live.ticket, id.as_str())).collect();
        assert!(self.session.live_queries().map(|(ticket, id)| (ticket, &**id)).eq(live), "the live queries");
    }
}
