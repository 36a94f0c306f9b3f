//! The live query, from its beginning to its end.

use std::time::Duration;

use liveset_client::{Cause, Client, Connection, ConnectionStatus, Error, ErrorCode, Status, WrongServer};
use liveset_server::signals::Stop;
use liveset_server::terminal;

use super::output::Output;
use super::trouble;
use super::{Live, WatchArgs};

/// Shows what comes until whoever watches has seen enough; an error says why no other attempt would help.
pub(super) async fn follow(
    client: &Client,
    args: &WatchArgs,
    output: &mut Output,
    stop: &Stop,
) -> Result<(), String> {
    let mut connection = client.connection();
    let mut live = client.live(args.query()).open();
    output.doubt(&format!("connecting to {}", args.url.websocket()), &live);
    // What happened before the first look is no change any more.
    look(&connection, args, output, &live)?;
    loop {
        tokio::select! {
            changed = live.changed() => {
                show(&mut live, args, output).await?;
                if !changed {
                    return Ok(());
                }
            }
            true = connection.changed() => look(&connection, args, output, &live)?,
            () = sleep(output.redraw_in()) => output.redraw(&live),
            () = output.closed() => return Ok(()),
            () = stop.clone().wait() => return Ok(()),
        }
        if output.is_closed() {
            return Ok(());
        }
    }
}

/// Shows what has changed.
async fn show(live: &mut Live, args: &WatchArgs, output: &mut Output) -> Result<(), String> {
    loop {
        // All that is there, one commit at a time.
        let batch = tokio::select! {
            biased;
            batch = live.next() => batch,
            () = std::future::ready(()) => break,
        };
        match batch {
            Some(Ok(batch)) => output.batch(&batch, live),
            // A row that is no JSON, which no server sends.
            Some(Err(Error::Row { .. })) => {}
            Some(Err(Error::Server(error))) => {
                return Err(trouble::describe(&error.code_text, &error.message, &args.query()));
            }
            Some(Err(_)) | None => break,
        }
    }
    match live.status() {
        Status::Live => output.trust(),
        Status::Stale { cause: Cause::Source, .. } => output.doubt("the server is behind its source", live),
        Status::Loading { cause: Some(Cause::Source) } => {
            output.doubt("the server waits for its source", live)
        }
        Status::Stale { cause: Cause::Overloaded, .. }
        | Status::Loading { cause: Some(Cause::Overloaded) } => {
            output.doubt("the server has no room now", live);
        }
        _ => {}
    }
    Ok(())
}

/// Looks whether there is a connection, and where not, whether there can be one.
fn look(connection: &Connection, args: &WatchArgs, output: &mut Output, live: &Live) -> Result<(), String> {
    let Some(error) = connection.error() else { return Ok(()) };
    let told_of = |text: &str| terminal::message(&format!("{}: {text}", args.url.websocket()));
    match &error {
        Error::WrongServer(problem) => {
            let hint = match problem {
                WrongServer::NotTrusted(_) => "; --ca FILE names who vouches for it",
                WrongServer::NoWebSocket(_) => "; the address is that of the server, or of its /ws",
                _ => "",
            };
            return Err(told_of(&format!("{problem}{hint}")));
        }
        Error::Server(refused) => {
            let text = trouble::describe(&refused.code_text, &refused.message, &args.query());
            match refused.code {
                Some(ErrorCode::AuthFailed | ErrorCode::TokenExpired) => return Err(told_of(&text)),
                Some(
                    ErrorCode::Forbidden
                    | ErrorCode::InvalidQuery
                    | ErrorCode::LimitExceeded
                    | ErrorCode::InvalidMessage
                    | ErrorCode::UnknownType
                    | ErrorCode::MessageTooLarge,
                ) => return Err(text),
                _ => {}
            }
        }
        _ => {}
    }
    if connection.status() == ConnectionStatus::Reconnecting {
        let pause = connection.pause().unwrap_or_default();
        output.lost(&format!("{}; trying again in {pause:.1?}", told_of(&error.to_string())), live);
    }
    Ok(())
}

/// Sleeps; for ever where there is nothing to wait for.
async fn sleep(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}
