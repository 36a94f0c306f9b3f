//! A key set that is fetched: for whom, how often, and what becomes of it when fetching fails. Time is tokio's, paused, and
//! moves only where a test says so.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use liveset::{AuthError, Authenticator as _, BoxFuture};
use liveset_jwt::{FetchJwks, Jwks, JwtAuthenticator, Refusal, ReplaceKeysError};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::advance;

use crate::support::{
    SECRET, Signer, builder, good_claims, good_token, header_with, jwk, jwks, public_keys, token_of,
};

/// An issuer: answers what it was told to, in order, the last again and again; once for each permit.
#[derive(Clone)]
struct Issuer {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    fetches: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

#[derive(Clone)]
enum Answer {
    Keys(Vec<u8>),
    Error,
    Never,
    Panic,
}

impl Issuer {
    fn new(answers: impl IntoIterator<Item = Answer>) -> Issuer {
        Issuer {
            answers: Arc::new(Mutex::new(answers.into_iter().collect())),
            fetches: Arc::default(),
            gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        }
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    fn authenticator(&self) -> JwtAuthenticator {
        builder(Jwks::new(self.clone())).build().expect("an authenticator")
    }
}

impl FetchJwks for Issuer {
    fn fetch(&self) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        Box::pin(async {
            self.gate.acquire().await.expect("open").forget();
            let answer = {
                let mut answers = self.answers.lock().unwrap();
                if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() }
            };
            match answer.expect("an answer") {
                Answer::Keys(keys) => Ok(keys),
                Answer::Error => Err("it is down".into()),
                Answer::Never => std::future::pending().await,
                Answer::Panic => panic!("a fetcher with a bug (this is part of the test)"),
            }
        })
    }
}

fn old() -> Answer {
    Answer::Keys(jwks([jwk(Signer::Rsa, "old")]))
}

fn new() -> Answer {
    Answer::Keys(jwks([jwk(Signer::OtherRsa, "new")]))
}

fn with_id(signer: Signer, id: &str) -> String {
    token_of(signer, &header_with(signer, json!({"kid": id})), &good_claims().to_string())
}

async fn verdict(authenticator: &JwtAuthenticator, token: &str) -> Result<(), Refusal> {
    authenticator.verify(token).await.map(drop)
}

/// Lets every task run until it waits. Time stands still meanwhile.
async fn settle() {
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn one_fetch_for_many_tokens() {
    let issuer = Issuer::new([old()]);
    let authenticator = issuer.authenticator();
    assert_eq!(issuer.fetches(), 0, "nothing is fetched that nobody needs");
    for _ in 0..100 {
        assert_eq!(verdict(&authenticator, &with_id(Signer::Rsa, "old")).await, Ok(()));
    }
    assert_eq!(issuer.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_fetch_in_flight_however_many_wait_and_leave() {
    let issuer = Issuer { gate: Arc::new(Semaphore::new(0)), ..Issuer::new([old()]) };
    let authenticator = issuer.authenticator();
    let mut waiting = tokio::task::JoinSet::new();
    let mut leaving = Vec::new();
    for number in 0..100 {
        let authenticator = authenticator.clone();
        let handle =
            waiting.spawn(async move { verdict(&authenticator, &with_id(Signer::Rsa, "old")).await });
        if number < 10 {
            leaving.push(handle);
        }
    }
    settle().await;
    assert_eq!(issuer.fetches(), 1);
    // The first of them began the fetch; it goes on without them.
    leaving.iter().for_each(tokio::task::AbortHandle::abort);
    settle().await;
    issuer.gate.add_permits(1);
    let (mut accepted, mut left) = (0, 0);
    while let Some(ended) = waiting.join_next().await {
        match ended {
            Ok(verdict) => {
                assert_eq!(verdict, Ok(()));
                accepted += 1;
            }
            Err(_) => left += 1,
        }
    }
    assert_eq!((accepted, left, issuer.fetches()), (90, 10, 1));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_id_fetches_what_is_new() {
    let issuer = Issuer::new([old(), new()]);
    let authenticator = issuer.authenticator();
    assert_eq!(verdict(&authenticator, &with_id(Signer::Rsa, "old")).await, Ok(()));
    advance(11 * SECOND).await;
    assert_eq!(verdict(&authenticator, &with_id(Signer::OtherRsa, "new")).await, Ok(()));
    assert_eq!(issuer.fetches(), 2);
    // What the issuer has withdrawn is withdrawn here.
    assert_eq!(verdict(&authenticator, &with_id(Signer::Rsa, "old")).await, Err(Refusal::UnknownKey));
}

#[tokio::test(start_paused = true)]
async fn made_up_key_ids_fetch_seldom() {
    let issuer = Issuer::new([old()]);
    let authenticator = issuer.authenticator();
    let forged = with_id(Signer::OtherRsa, "old");
    for number in 0..1_000 {
        assert_eq!(verdict(&authenticator, &forged).await, Err(Refusal::Signature));
        let made_up = with_id(Signer::Ed, &number.to_string());
        assert_eq!(verdict(&authenticator, &made_up).await, Err(Refusal::UnknownKey));
        if number % 100 == 99 {
            advance(SECOND).await;
        }
    }
    // Ten seconds went by: the fetch at their beginning, and none before their end.
    assert_eq!(issuer.fetches(), 1);
    assert_eq!(verdict(&authenticator, &with_id(Signer::Ed, "another")).await, Err(Refusal::UnknownKey));
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_without_a_key_fetches_nothing() {
    let issuer = Issuer::new([old()]);
    let authenticator = issuer.authenticator();
    for token in ["", "a.b.c", &".".repeat(10_000), &token_of(Signer::Rsa, r#"{"alg":"none"}"#, "{}")] {
        assert!(verdict(&authenticator, token).await.is_err());
    }
    assert_eq!(issuer.fetches(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_old_set_is_fetched_again() {
    let issuer = Issuer::new([old(), new()]);
    let authenticator = issuer.authenticator();
    assert_eq!(verdict(&authenticator, &with_id(Signer::Rsa, "old")).await, Ok(()));
    advance(599 * SECOND).await;
    assert_eq!(verdict(&authenticator, &with_id(Signer::Rsa, "old")).await, Ok(()));
    assert_eq!(issuer.fetches(), 1);
    advance(SECOND).await;
    // The old set judges the token that sees its age, and the new one what comes when it is there.
    assert_eq!(verdict(&authenticator, &with_id(Signer::Rsa, "old")).await, Ok(()));
    settle().await;
    assert_eq!(issuer.fetches(), 2);
    assert_eq!(verdict(&authenticator, &with_id(Signer::Rsa, "old")).await, Err(Refusal::UnknownKey));
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn no_token_with_a_known_key_waits_for_an_issuer_that_hangs() {
    let issuer = Issuer::new([old(), Answer::Never]);
    let authenticator = issuer.authenticator();
    assert_eq!(verdict(&authenticator, &with_id(Signer::Rsa, "old")).await, Ok(()));
    advance(600 * SECOND).await;
    let begin = tokio::time::Instant::now();
    for _ in 0..100 {
        assert_eq!(verdict(&authenticator, &with_id(Signer::Rsa, "old")).await, Ok(()));
    }
    assert_eq!(begin.elapsed(), Duration::ZERO);
    settle().await;
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_set_that_cannot_be_fetched_again_is_believed_for_a_day() {
    let issuer = Issuer::new([old(), Answer::Error, Answer::Error, Answer::Error, new()]);
    let authenticator = issuer.authenticator();
    let ask = || async { verdict(&authenticator, &with_id(Signer::Rsa, "old")).await };
    assert_eq!(ask().await, Ok(()));
    advance(24 * 3600 * SECOND - SECOND).await;
    assert_eq!(ask().await, Ok(()));
    settle().await;
    assert_eq!(issuer.fetches(), 2);
    advance(SECOND).await;
    assert_eq!(ask().await, Err(Refusal::Unavailable), "and there is no fetch so soon after the last");
    advance(10 * SECOND).await;
    assert_eq!(ask().await, Err(Refusal::Unavailable));
    assert_eq!(issuer.fetches(), 3);
    advance(10 * SECOND).await;
    assert_eq!(ask().await, Err(Refusal::Unavailable));
    advance(10 * SECOND).await;
    assert_eq!(ask().await, Err(Refusal::UnknownKey), "the issuer is back, with another key");
    assert_eq!(verdict(&authenticator, &with_id(Signer::OtherRsa, "new")).await, Ok(()));
    assert_eq!(issuer.fetches(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_failed_fetch_keeps_the_old_keys() {
    let broken = [
        Answer::Error,
        Answer::Never,
        Answer::Panic,
        Answer::Keys(b"<html>".to_vec()),
        Answer::Keys(jwks([])),
        Answer::Keys(jwks([jwk(Signer::Hmac(SECRET), "old")])),
    ];
    for (number, broken) in broken.into_iter().enumerate() {
        let issuer = Issuer::new([old(), broken, new()]);
        let authenticator = issuer.authenticator();
        let due = |fetches| assert_eq!(issuer.fetches(), fetches, "answer {number}");
        assert_eq!(verdict(&authenticator, &with_id(Signer::Rsa, "old")).await, Ok(()));
        advance(601 * SECOND).await;
        assert_eq!(verdict(&authenticator, &with_id(Signer::Rsa, "old")).await, Ok(()), "answer {number}");
        settle().await;
        due(2);
        // A failure counts as a fetch, too: who is down is not asked for every token.
        assert_eq!(verdict(&authenticator, &with_id(Signer::Rsa, "old")).await, Ok(()), "answer {number}");
        due(2);
        advance(11 * SECOND).await;
        settle().await;
        assert_eq!(
            verdict(&authenticator, &with_id(Signer::OtherRsa, "new")).await,
            Ok(()),
            "answer {number}"
        );
        due(3);
    }
}

#[tokio::test(start_paused = true)]
async fn without_any_keys_tokens_cannot_be_judged_and_later_they_can() {
    let issuer = Issuer::new([Answer::Error, old()]);
    let source = Jwks::new(issuer.clone());
    let authenticator = builder(source.clone()).build().unwrap();
    assert!(!source.prefetch().await);
    for _ in 0..10 {
        assert_eq!(verdict(&authenticator, &with_id(Signer::Rsa, "old")).await, Err(Refusal::Unavailable));
    }
    let token = liveset::Token::new(with_id(Signer::Rsa, "old"));
    assert_eq!(authenticator.authenticate(&token).await, Err(AuthError::Unavailable));
    assert_eq!(authenticator.authenticate(&liveset::Token::new("a.b.c")).await, Err(AuthError::Refused));
    assert_eq!(issuer.fetches(), 1);
    advance(10 * SECOND).await;
    assert!(source.prefetch().await);
    assert!(source.prefetch().await);
    assert_eq!(verdict(&authenticator, &with_id(Signer::Rsa, "old")).await, Ok(()));
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn known_keys_need_no_fetch_that_is_under_way() {
    let issuer = Issuer { gate: Arc::new(Semaphore::new(1)), ..Issuer::new([old()]) };
    let authenticator = issuer.authenticator();
    assert_eq!(verdict(&authenticator, &with_id(Signer::Rsa, "old")).await, Ok(()));
    advance(11 * SECOND).await;
    let other = authenticator.clone();
    let waiting = tokio::spawn(async move { verdict(&other, &with_id(Signer::Ed, "x")).await });
    settle().await;
    assert_eq!(issuer.fetches(), 2);
    assert_eq!(verdict(&authenticator, &with_id(Signer::Rsa, "old")).await, Ok(()), "others do not wait");
    assert!(!waiting.is_finished());
    issuer.gate.add_permits(1);
    assert_eq!(waiting.await.unwrap(), Err(Refusal::UnknownKey));
}

#[tokio::test(start_paused = true)]
async fn keys_of_an_address_are_not_replaced_and_never_symmetric() {
    let authenticator = Issuer::new([old()]).authenticator();
    assert_eq!(authenticator.replace_keys(public_keys()), Err(ReplaceKeysError::Fetched));
    let hmac = builder(Jwks::new(Issuer::new([old()]))).algorithms([liveset_jwt::Algorithm::Hs256]).build();
    assert!(hmac.is_err());
}

/// A task that a runtime was given and never ran, because it went before: the next runtime fetches all the same.
#[test]
fn a_fetch_that_never_began_is_over() {
    let issuer = Issuer::new([old()]);
    let authenticator = builder(Jwks::new(issuer.clone()).min_interval(Duration::ZERO)).build().unwrap();
    let token = with_id(Signer::Rsa, "old");
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();

    let gone = runtime();
    {
        let _inside = gone.enter();
        let mut asking = std::pin::pin!(verdict(&authenticator, &token));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(asking.as_mut().poll(&mut context).is_pending());
    }
    drop(gone);
    assert_eq!(issuer.fetches(), 0);
    let again = async { tokio::time::timeout(60 * SECOND, verdict(&authenticator, &token)).await };
    assert_eq!(runtime().block_on(again), Ok(Ok(())));

    // Where there is no runtime at all, asking panics, and that is over too.
    let other = Issuer::new([old()]);
    let authenticator = builder(Jwks::new(other).min_interval(Duration::ZERO)).build().unwrap();
    let outside = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        std::pin::pin!(verdict(&authenticator, &token)).poll(&mut context).is_ready()
    }));
    assert!(outside.is_err());
    let again = async { tokio::time::timeout(60 * SECOND, verdict(&authenticator, &token)).await };
    assert_eq!(runtime().block_on(again), Ok(Ok(())));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_id_is_nobodys_fault_while_the_issuer_is_down() {
    for outage in [Answer::Error, Answer::Never, Answer::Panic, Answer::Keys(b"<html>".to_vec())] {
        let issuer = Issuer::new([old(), outage, old(), new()]);
        let authenticator = issuer.authenticator();
        let ask = || async { verdict(&authenticator, &with_id(Signer::OtherRsa, "new")).await };
        assert_eq!(ask().await, Err(Refusal::UnknownKey), "the issuer was asked and does not have it");
        advance(11 * SECOND).await;
        for _ in 0..3 {
            assert_eq!(ask().await, Err(Refusal::Unavailable));
        }
        assert_eq!(verdict(&authenticator, &with_id(Signer::Rsa, "old")).await, Ok(()));
        advance(11 * SECOND).await;
        assert_eq!(ask().await, Err(Refusal::UnknownKey));
        advance(11 * SECOND).await;
        assert_eq!(ask().await, Ok(()));
        assert_eq!(issuer.fetches(), 4);
    }
}

#[tokio::test(start_paused = true)]
async fn keys_without_ids_are_rotated_too() {
    let without_id = |signer| {
        let mut key = jwk(signer, "");
        key.as_object_mut().unwrap().remove("kid");
        Answer::Keys(jwks([key]))
    };
    let issuer = Issuer::new([without_id(Signer::Rsa), without_id(Signer::OtherRsa)]);
    let authenticator = issuer.authenticator();
    assert_eq!(verdict(&authenticator, &good_token(Signer::Rsa)).await, Ok(()));
    // Wrong signatures fetch as seldom as unknown ids.
    for _ in 0..100 {
        assert_eq!(verdict(&authenticator, &good_token(Signer::OtherRsa)).await, Err(Refusal::Signature));
    }
    assert_eq!(issuer.fetches(), 1);
    advance(11 * SECOND).await;
    assert_eq!(verdict(&authenticator, &good_token(Signer::OtherRsa)).await, Ok(()));
    assert_eq!(verdict(&authenticator, &with_id(Signer::OtherRsa, "any")).await, Ok(()));
    assert_eq!(verdict(&authenticator, &good_token(Signer::Rsa)).await, Err(Refusal::Signature));
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn tokens_of_a_secret_fetch_no_published_keys() {
    let issuer = Issuer::new([old()]);
    let authenticator = issuer.authenticator();
    assert_eq!(verdict(&authenticator, &good_token(Signer::Hmac(SECRET))).await, Err(Refusal::UnknownKey));
    assert_eq!(issuer.fetches(), 0);
}
