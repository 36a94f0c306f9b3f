//! What is accepted: without it, a test that everything is refused would prove nothing.

use std::time::Duration;

use liveset::{AuthError, Authenticator as _, Grant, Token};
use liveset_jwt::{Algorithm, JwtBuildError, KeySet, Refusal, ReplaceKeysError};
use serde_json::json;

use crate::support::{
    EC_PEM, ED_PEM, ISSUER, NOW, RSA_PEM, SECRET, Signer, at, authenticator, builder, claims_with,
    good_claims, good_token, header, header_with, jwk, jwks, public_keys, secret_key, token_of, verdict,
};

#[test]
fn each_algorithm_with_keys_from_pem() {
    let authenticator = authenticator();
    for signer in [Signer::Rsa, Signer::Ec, Signer::Ed] {
        let claims =
            verdict(&authenticator, &good_token(signer)).unwrap_or_else(|no| panic!("{signer:?}: {no}"));
        assert_eq!(claims.subject(), "alice");
        assert_eq!(claims.expires(), at(NOW + 660), "exp and the leeway");
    }
}

#[test]
fn each_algorithm_with_keys_from_a_key_set() {
    let signers = [Signer::Rsa, Signer::OtherRsa, Signer::Ec, Signer::Ed];
    let ids = ["a", "b", "c", "d"];
    let keys = jwks(signers.iter().zip(ids).map(|(signer, id)| jwk(*signer, id)));
    let authenticator = builder(KeySet::from_jwks(&keys).unwrap()).build().unwrap();
    for (signer, id) in signers.into_iter().zip(ids) {
        let token = token_of(signer, &header_with(signer, json!({"kid": id})), &good_claims().to_string());
        assert_eq!(
            verdict(&authenticator, &token).map(|claims| claims.subject().to_owned()),
            Ok("alice".into()),
            "{id}"
        );
    }
}

#[test]
fn hs256_where_it_is_configured() {
    let authenticator = builder(secret_key()).algorithms([Algorithm::Hs256]).build().unwrap();
    assert!(verdict(&authenticator, &good_token(Signer::Hmac(SECRET))).is_ok());
    assert_eq!(verdict(&authenticator, &good_token(Signer::Rsa)), Err(Refusal::Algorithm));
}

#[test]
fn an_audience_as_text_and_in_a_list() {
    let authenticator = builder(public_keys()).audience("other name").build().unwrap();
    for audience in [json!("liveset"), json!("other name"), json!(["x", "liveset"]), json!(["other name"])] {
        let token = token_of(Signer::Ed, &header(Signer::Ed), &claims_with(json!({"aud": audience})));
        assert!(verdict(&authenticator, &token).is_ok(), "{audience}");
    }
}

#[test]
fn the_usual_types_in_any_case_and_none() {
    for kind in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "Application/JWT"] {
        let header = header_with(Signer::Ed, json!({"typ": kind}));
        assert!(
            verdict(&authenticator(), &token_of(Signer::Ed, &header, &good_claims().to_string())).is_ok(),
            "{kind}"
        );
    }
    let header = r#"{"alg":"EdDSA"}"#;
    assert!(verdict(&authenticator(), &token_of(Signer::Ed, header, &good_claims().to_string())).is_ok());
}

#[test]
fn unknown_header_members_and_thumbprints_are_passed_over() {
    let header = header_with(Signer::Ed, json!({"x5t": "abc", "x5t#S256": "def", "https://x.example": [1]}));
    assert!(verdict(&authenticator(), &token_of(Signer::Ed, &header, &good_claims().to_string())).is_ok());
}

#[test]
fn times_within_the_leeway_to_the_second() {
    let authenticator = builder(public_keys()).leeway(Duration::from_secs(30)).build().unwrap();
    for (changes, verdict_due) in [
        (json!({"exp": NOW - 29}), Ok(())),
        (json!({"exp": NOW - 30}), Err(Refusal::Expired)),
        (json!({"nbf": NOW + 30}), Ok(())),
        (json!({"nbf": NOW + 31}), Err(Refusal::NotYetValid)),
        (json!({"iat": NOW + 30}), Ok(())),
        (json!({"iat": NOW + 31}), Err(Refusal::NotYetValid)),
        (json!({"nbf": null, "iat": null}), Ok(())),
        (json!({"exp": 253_402_300_799u64}), Ok(())),
    ] {
        let token = token_of(Signer::Ed, &header(Signer::Ed), &claims_with(changes.clone()));
        assert_eq!(verdict(&authenticator, &token).map(drop), verdict_due, "{changes}");
    }
    let strict = builder(public_keys()).leeway(Duration::ZERO).build().unwrap();
    for (expires, verdict_due) in [(NOW, Err(Refusal::Expired)), (NOW + 1, Ok(()))] {
        let token = token_of(Signer::Ed, &header(Signer::Ed), &claims_with(json!({"exp": expires})));
        assert_eq!(verdict(&strict, &token).map(drop), verdict_due);
    }
}

#[test]
fn claims_come_as_they_were_written() {
    let claims =
        claims_with(json!({"tenant": {"id": [1, -2, 18_446_744_073_709_551_615u64, 1.5, null, true, "x"]}}));
    let read = verdict(&authenticator(), &token_of(Signer::Ec, &header(Signer::Ec), &claims)).unwrap();
    assert_eq!(
        serde_json::Value::Object(read.all().clone()),
        serde_json::from_str::<serde_json::Value>(&claims).unwrap()
    );
    assert_eq!(read.claim("sub"), Some(&json!("alice")));
    assert!(!format!("{read:?}").contains("18446744073709551615"), "claims are nobody else's business");
}

#[test]
fn scopes_as_text_and_as_a_list() {
    for (claims, has) in [
        (json!({"scope": "read liveset:write"}), true),
        (json!({"scp": ["read", "liveset:write"]}), true),
        (json!({"scp": "liveset:write"}), true),
        (json!({"scope": "liveset:writer"}), false),
        (json!({"scope": 1}), false),
        (json!({}), false),
    ] {
        let token = token_of(Signer::Ed, &header(Signer::Ed), &claims_with(claims.clone()));
        assert_eq!(verdict(&authenticator(), &token).unwrap().has_scope("liveset:write"), has, "{claims}");
    }
}

#[tokio::test]
async fn the_grant_is_the_subject_until_it_expires_or_what_the_host_says() {
    let authenticator = builder(public_keys()).build().unwrap();
    let token = Token::new(good_token(Signer::Ec));
    let grant = authenticator.authenticate(&token).await.unwrap();
    assert_eq!((&*grant.subject, grant.expires, grant.read_only), ("alice", Some(at(NOW + 660)), false));
    // A policy's row filters find the rest by name.
    assert_eq!(grant.claims["sub"], "alice");
    assert!(grant.claims.contains_key("iss") && grant.claims.contains_key("exp"));

    let mapped = builder(public_keys()).map(|claims| match claims.subject() {
        "alice" => Ok(Grant::new("tenant 1/alice").read_only()),
        _ => Err(AuthError::Refused),
    });
    let mapped = mapped.build().unwrap();
    assert_eq!(mapped.authenticate(&token).await, Ok(Grant::new("tenant 1/alice").read_only()));
    let bob = token_of(Signer::Ec, &header(Signer::Ec), &claims_with(json!({"sub": "bob"})));
    assert_eq!(mapped.authenticate(&Token::new(bob)).await, Err(AuthError::Refused));
}

#[test]
fn keys_can_be_replaced_while_it_runs() {
    let authenticator = builder(KeySet::from_pem(RSA_PEM).unwrap()).build().unwrap();
    let clone = authenticator.clone();
    assert_eq!(authenticator.replace_keys(KeySet::from_pem(EC_PEM).unwrap()), Ok(()));
    assert_eq!(verdict(&clone, &good_token(Signer::Rsa)), Err(Refusal::UnknownKey));
    assert!(verdict(&clone, &good_token(Signer::Ec)).is_ok());
}

#[test]
fn what_does_not_fit_together_is_not_built() {
    let from = |keys: KeySet| liveset_jwt::JwtAuthenticator::builder(keys);
    for (builder, error) in [
        (from(public_keys()).audience("a"), JwtBuildError::NoIssuer),
        (from(public_keys()).issuer("").audience("a"), JwtBuildError::NoIssuer),
        (from(public_keys()).issuer("i"), JwtBuildError::NoAudience),
        (from(public_keys()).issuer("i").audience(""), JwtBuildError::NoAudience),
        (from(public_keys()).issuer("i").audience("a").any_audience(), JwtBuildError::AnyAudience),
        (builder(public_keys()).algorithms([]), JwtBuildError::NoAlgorithm),
        (builder(public_keys()).algorithms([Algorithm::Hs256]), JwtBuildError::NoKeyFor(Algorithm::Hs256)),
        (builder(secret_key()).algorithms([Algorithm::Rs256]), JwtBuildError::NoKeyFor(Algorithm::Rs256)),
        (builder(public_keys()).leeway(Duration::from_secs(601)), JwtBuildError::Leeway),
    ] {
        assert_eq!(builder.build().map(drop), Err(error));
    }
    let anyone = from(public_keys()).issuer(ISSUER).any_audience().clock(|| at(NOW)).build().unwrap();
    let token = token_of(Signer::Ed, &header(Signer::Ed), &claims_with(json!({"aud": null})));
    assert!(verdict(&anyone, &token).is_ok());
}

#[test]
fn keys_that_are_for_none_of_the_accepted_algorithms_replace_nothing() {
    let accepting = builder(public_keys()).algorithms([Algorithm::EdDsa]).build().unwrap();
    let of_rsa = || KeySet::from_pem(RSA_PEM).unwrap();
    assert_eq!(accepting.replace_keys(of_rsa()), Err(ReplaceKeysError::NoKeyFor(Algorithm::EdDsa)));
    assert_eq!(accepting.replace_keys(secret_key()), Err(ReplaceKeysError::NoKeyFor(Algorithm::EdDsa)));
    assert!(verdict(&accepting, &good_token(Signer::Ed)).is_ok(), "the old keys stay");
    assert_eq!(accepting.replace_keys(KeySet::from_pem(ED_PEM).unwrap()), Ok(()));
}
