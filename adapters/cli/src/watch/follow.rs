//! One connection, from its beginning to its end.

use std::time::Instant;

use liveset_core::{ClientEvent, ClientLimits, ClientSession, ErrorCode, LiveQueryRequest, Monotonic};
use liveset_server::signals::Stop;

use super::Wanted;
use super::output::Output;
use super::socket::{Incoming, Socket};
use super::trouble;
use crate::backoff::Backoff;
use crate::client::Trouble;

/// The name of the live query on its connection.
const ID: &str = "watch";

/// How a connection ended.
pub(super) enum End {
    /// Whoever watches has seen enough.
    Quit,
    /// The connection was lost, for this reason; another may do better.
    Lost(String),
    /// There is no such server, or it refuses this token or this query; and always will.
    Refused(String),
}

/// Connects, and shows what comes until that ends. What was held stays in `wanted`.
pub(super) async fn follow(
    wanted: &mut Wanted,
    output: &mut Output,
    backoff: &mut Backoff,
    stop: &Stop,
) -> End {
    output.connecting(&wanted.address(), wanted.held.as_ref());
    let socket = tokio::select! {
        socket = Socket::connect(&wanted.server) => socket,
        () = stop.clone().wait() => return End::Quit,
    };
    let socket = match socket {
        Ok(socket) => socket,
        Err(Trouble::Passing(error)) => return End::Lost(error),
        Err(Trouble::Lasting(error)) => return End::Refused(wanted.told_of(&error)),
    };
    let mut connection = Connection::new(socket, wanted);
    let end = connection.run(wanted, output, backoff, stop).await;
    if let Some(held) = connection.session.live_query(ID) {
        wanted.held = Some(held.clone());
    }
    if matches!(end, End::Quit) {
        connection.socket.close().await;
    }
    end
}

struct Connection {
    socket: Socket,
    session: ClientSession,
    opened: Instant,
    /// The last error of the server, which says why it closes.
    trouble: Option<String>,
}

impl Connection {
    fn new(socket: Socket, wanted: &Wanted) -> Connection {
        let mut session = ClientSession::new(ClientLimits::default(), Monotonic::ZERO);
        session.authenticate(&wanted.token);
        // The server holds it until the token is judged, so there is no need to wait.
        let wanted = LiveQueryRequest {
            options: wanted.options,
            resume_from: wanted.held.clone(),
            ..LiveQueryRequest::new(ID, wanted.query.clone())
        };
        session.create_live_query(wanted);
        Connection { socket, session, opened: Instant::now(), trouble: None }
    }

    fn now(&self) -> Monotonic {
        Monotonic::from_epoch(self.opened.elapsed())
    }

    async fn run(&mut self, wanted: &Wanted, output: &mut Output, backoff: &mut Backoff, stop: &Stop) -> End {
        loop {
            let mut text = Vec::new();
            while self.session.poll_transmit(&mut text) {
                if let Err(error) = self.socket.send(&text).await {
                    return End::Lost(error);
                }
                text.clear();
            }
            while let Some(event) = self.session.poll_event() {
                if matches!(
                    event,
                    ClientEvent::LiveQueryRows { loaded: true, .. } | ClientEvent::LiveQueryResumed { .. }
                ) {
                    backoff.reset();
                }
                output.event(&event, self.session.live_query(ID));
                if let Some(end) = self.handle(event, wanted) {
                    return end;
                }
            }
            let silence = self.session.poll_timeout().map(|at| at.saturating_since(self.now()));
            tokio::select! {
                incoming = self.socket.next() => {
                    if let Some(end) = self.take(incoming, wanted, output).await {
                        return end;
                    }
                }
                () = sleep(silence) => self.session.handle_timeout(self.now()),
                () = sleep(output.redraw_in()) => output.redraw(self.session.live_query(ID)),
                () = stop.clone().wait() => return End::Quit,
            }
            if output.is_closed() {
                return End::Quit;
            }
        }
    }

    async fn take(&mut self, incoming: Incoming, wanted: &Wanted, output: &mut Output) -> Option<End> {
        match incoming {
            Incoming::Text(text) => {
                output.message(&text);
                let now = self.now();
                let error = self.session.handle_text(now, &text).err()?;
                Some(if self.session.is_authenticated() {
                    End::Lost(error.to_string())
                } else {
                    End::Refused(
                        wanted.told_of(&format!("what answers there speaks another protocol: {error}")),
                    )
                })
            }
            Incoming::Ping(payload) => self.socket.pong(&payload).await.err().map(End::Lost),
            Incoming::Closed(code, reason) => Some(End::Lost(self.trouble.take().unwrap_or_else(|| {
                let code = code.map(|code| format!(" with {code}")).unwrap_or_default();
                format!("the server closed{code} {reason}").trim_end().to_owned()
            }))),
            Incoming::Lost(error) => Some(End::Lost(self.trouble.take().unwrap_or(error))),
        }
    }

    fn handle(&mut self, event: ClientEvent, wanted: &Wanted) -> Option<End> {
        match event {
            ClientEvent::Lost => Some(End::Lost("the server was silent for too long".into())),
            ClientEvent::Error { code, code_text, message, .. } => {
                let text = trouble::describe(&code_text, &message, &wanted.query);
                match code {
                    Some(ErrorCode::AuthFailed | ErrorCode::TokenExpired) => {
                        Some(End::Refused(wanted.told_of(&text)))
                    }
                    Some(
                        ErrorCode::Forbidden
                        | ErrorCode::InvalidQuery
                        | ErrorCode::LimitExceeded
                        | ErrorCode::InvalidMessage
                        | ErrorCode::UnknownType
                        | ErrorCode::MessageTooLarge,
                    ) => Some(End::Refused(text)),
                    // The server closes, and says so next.
                    _ => {
                        self.trouble = Some(text);
                        None
                    }
                }
            }
            _ => None,
        }
    }
}

/// Sleeps; for ever where there is nothing to wait for.
async fn sleep(time: Option<std::time::Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}
