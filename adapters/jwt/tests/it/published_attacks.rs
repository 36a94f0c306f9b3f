//! Published attacks on JSON Web Tokens, each under its name: RFC 8725 (best current practices), and what has been found in
//! other libraries. Each test changes one thing in a token that is accepted otherwise, and names the reason of the refusal.

use liveset_jwt::{Algorithm, JwtAuthenticator, KeyError, KeySet, Refusal};
use serde_json::{Value, json};

use crate::support::{
    ISSUER, NOW, RSA_PEM, SECRET, Signer, at, authenticator, base64url, builder, claims_with, der,
    good_claims, good_token, header, header_with, jwk, jwks, public_keys, secret_key, token_of, verdict,
};

/// The verdict on a well-signed token of this header and these claims.
fn signed(signer: Signer, header: &str, claims: &str) -> Result<(), Refusal> {
    verdict(&authenticator(), &token_of(signer, header, claims)).map(drop)
}

/// The verdict on a token of Ed25519 with this in its header.
fn with_header(changes: Value) -> Result<(), Refusal> {
    signed(Signer::Ed, &header_with(Signer::Ed, changes), &good_claims().to_string())
}

/// The verdict on a token of Ed25519 with these claims.
fn with_claims(changes: Value) -> Result<(), Refusal> {
    signed(Signer::Ed, &header(Signer::Ed), &claims_with(changes))
}

/// RFC 8725, 2.1 and 3.1; CVE-2015-9235 (jsonwebtoken for Node), CVE-2020-28042 (ServiceStack), CVE-2022-23540,
/// CVE-2018-1000531: `alg: none`, in every case, with and without a signature.
#[test]
fn alg_none() {
    for name in ["none", "None", "NONE", "nOnE", "none ", " none", ""] {
        let message = format!(
            "{}.{}",
            base64url(json!({"alg": name, "typ": "JWT"}).to_string()),
            base64url(good_claims().to_string())
        );
        for signature in [String::new(), base64url("x"), base64url(Signer::Ed.sign(&message))] {
            let token = format!("{message}.{signature}");
            for keys in [public_keys(), secret_key()] {
                let authenticator = builder(keys).build().unwrap();
                assert_eq!(verdict(&authenticator, &token), Err(Refusal::Algorithm), "{name:?}");
            }
        }
    }
    for algorithm in [json!(null), json!(["EdDSA"]), json!(1), json!({})] {
        assert_eq!(with_header(json!({"alg": algorithm})), Err(Refusal::Algorithm));
    }
    assert_eq!(signed(Signer::Ed, r#"{"typ":"JWT"}"#, &good_claims().to_string()), Err(Refusal::Algorithm));
    assert_eq!(signed(Signer::Ed, "{}", &good_claims().to_string()), Err(Refusal::Algorithm));
}

/// CVE-2020-28042: the signature is left out, its algorithm is not.
#[test]
fn empty_signature() {
    for signer in [Signer::Rsa, Signer::Ec, Signer::Ed, Signer::Hmac(SECRET)] {
        let keys = if signer.name() == "HS256" { secret_key() } else { public_keys() };
        let authenticator = builder(keys).build().unwrap();
        let token = good_token(signer);
        assert!(verdict(&authenticator, &token).is_ok());
        let (message, _) = token.rsplit_once('.').unwrap();
        assert_eq!(verdict(&authenticator, &format!("{message}.")), Err(Refusal::Signature));
        assert_eq!(verdict(&authenticator, message), Err(Refusal::NotCompact));
    }
}

/// RFC 8725, 2.1; CVE-2015-9235, CVE-2016-5431, CVE-2016-10555, CVE-2022-29217, CVE-2023-48223, CVE-2024-54150: the public key
/// of RS256, which everybody has, used as the secret of HS256.
#[test]
fn algorithm_confusion_public_key_as_hmac_secret() {
    const RSA: &[u8] = RSA_PEM.as_bytes();
    const TRIMMED: &[u8] = RSA_PEM.trim_ascii_end().as_bytes();
    let der: &'static [u8] = der(RSA_PEM).leak();
    let modulus: &'static [u8] = der[der.len() - 261..der.len() - 5].to_vec().leak();
    for secret in [RSA, TRIMMED, der, modulus] {
        let token = good_token(Signer::Hmac(secret));
        assert_eq!(verdict(&authenticator(), &token), Err(Refusal::UnknownKey));
        let listed = builder(public_keys()).algorithms([Algorithm::Rs256]).build().unwrap();
        assert_eq!(verdict(&listed, &token), Err(Refusal::Algorithm));
    }
    // Nor can a configuration do it by mistake.
    for secret in [RSA, TRIMMED, der, &jwks([jwk(Signer::Rsa, "a")])] {
        assert_eq!(KeySet::from_secret(secret).map(drop), Err(KeyError::PublicSecret));
    }
}

/// The key of one algorithm under the name of another: what the token says does not choose how a key is used.
#[test]
fn algorithm_confusion_between_public_keys() {
    for (signer, name) in
        [(Signer::Ed, "ES256"), (Signer::Ec, "EdDSA"), (Signer::Rsa, "ES256"), (Signer::Ec, "RS256")]
    {
        let header = json!({"alg": name, "typ": "JWT"}).to_string();
        assert_eq!(signed(signer, &header, &good_claims().to_string()), Err(Refusal::Signature), "{name}");
    }
    // Algorithms that a key could be used for, but that nobody asked for.
    for name in ["RS384", "RS512", "PS256", "ES384", "ES512", "ES256K", "HS384", "HS512", "Ed25519", "rs256"]
    {
        let header = json!({"alg": name, "typ": "JWT"}).to_string();
        assert_eq!(
            signed(Signer::Rsa, &header, &good_claims().to_string()),
            Err(Refusal::Algorithm),
            "{name}"
        );
    }
    let message = format!("{}.{}", base64url(header(Signer::Rsa)), base64url(good_claims().to_string()));
    for algorithm in [jsonwebtoken::Algorithm::PS256, jsonwebtoken::Algorithm::RS512] {
        let signature = base64url(Signer::Rsa.sign_as(algorithm, &message));
        let token = format!("{message}.{signature}");
        assert_eq!(verdict(&authenticator(), &token), Err(Refusal::Signature));
    }
}

/// HS256 with a key set that brings its own secret, as `oct`: such keys are passed over.
#[test]
fn symmetric_key_in_a_key_set() {
    let keys = jwks([jwk(Signer::Hmac(SECRET), "a"), jwk(Signer::Ed, "b")]);
    let authenticator = builder(KeySet::from_jwks(&keys).unwrap()).build().unwrap();
    let hmac = Signer::Hmac(SECRET);
    let token = token_of(hmac, &header_with(hmac, json!({"kid": "a"})), &good_claims().to_string());
    assert_eq!(verdict(&authenticator, &token), Err(Refusal::UnknownKey));
    assert_eq!(KeySet::from_jwks(&jwks([jwk(hmac, "a")])).map(drop), Err(KeyError::None));
}

/// RFC 8725, 3.10: a key id that is a path, a query or a command. It is compared, and nothing else.
#[test]
fn kid_injection() {
    let keys = jwks([jwk(Signer::Rsa, "a"), jwk(Signer::Ed, "b")]);
    let authenticator = builder(KeySet::from_jwks(&keys).unwrap()).build().unwrap();
    let with_id = |id: Value| {
        let token =
            token_of(Signer::Ed, &header_with(Signer::Ed, json!({"kid": id})), &good_claims().to_string());
        verdict(&authenticator, &token).map(drop)
    };
    assert_eq!(with_id(json!("b")), Ok(()));
    for id in [
        "../../../../dev/null",
        "/dev/null",
        "' UNION SELECT 'b",
        "b\0",
        "B",
        "b ",
        "| sleep 5",
        "a",
        "",
        "\u{202e}b",
    ] {
        assert_eq!(with_id(json!(id)), Err(Refusal::UnknownKey), "{id}");
    }
    for id in [json!(null), json!(1), json!(["b"]), json!({"b": 1}), json!("b".repeat(257))] {
        assert_eq!(with_id(id.clone()), Err(Refusal::KeyId), "{id}");
    }
    assert_eq!(with_id(json!("b".repeat(256))), Err(Refusal::UnknownKey));
}

/// An empty file as a key (`kid: ../../dev/null`) makes an HMAC with an empty secret.
#[test]
fn hmac_with_an_empty_secret() {
    let authenticator = builder(secret_key()).build().unwrap();
    for secret in [&b""[..], b"\0", b"secret"] {
        assert_eq!(verdict(&authenticator, &good_token(Signer::Hmac(secret))), Err(Refusal::Signature));
        assert_eq!(
            KeySet::from_secret(secret).map(drop),
            Err(KeyError::ShortSecret),
            "RFC 8725, 3.5: weak secrets"
        );
    }
}

/// RFC 8725, 3.10; CVE-2018-0114 (node-jose): the header brings the key that the token is then verified with, or says where to
/// fetch it (a request forged on the server's side). No key of the header is ever looked at, whoever signed.
#[test]
fn embedded_key_or_address_of_a_key() {
    for (name, value) in [
        ("jwk", jwk(Signer::Ed, "x")),
        ("jwk", jwk(Signer::OtherRsa, "x")),
        ("jku", json!("http://127.0.0.1:1/jwks.json")),
        ("x5u", json!("http://127.0.0.1:1/cert.pem")),
        ("x5c", json!(["MIIB"])),
        ("jwk", json!(null)),
    ] {
        let header = |signer| header_with(signer, json!({name: value}));
        for signer in [Signer::Ed, Signer::OtherRsa] {
            let refused = signed(signer, &header(signer), &good_claims().to_string());
            assert_eq!(refused, Err(Refusal::EmbeddedKey), "{name}");
        }
    }
}

/// RFC 7515, 4.1.11; CVE-2025-59420 (Authlib): a token that says it must not be accepted by who does not
/// understand it. `b64` (RFC 7797) changes what is signed.
#[test]
fn critical_extensions() {
    for critical in [json!(["exp"]), json!(["b64"]), json!([]), json!("exp"), json!(null), json!(["alg"])] {
        assert_eq!(with_header(json!({"crit": critical})), Err(Refusal::Critical), "{critical}");
    }
    assert_eq!(with_header(json!({"b64": false, "crit": ["b64"]})), Err(Refusal::Critical));
    assert_eq!(with_header(json!({"b64": false})), Err(Refusal::Payload));
}

/// RFC 8725, 2.3, 3.6: compressed and encrypted payloads (JWE in five parts, CVE-2024-28102's decompression bomb), nested tokens.
#[test]
fn encrypted_compressed_and_nested() {
    for changes in [json!({"enc": "A128GCM"}), json!({"zip": "DEF"}), json!({"cty": "JWT"})] {
        assert_eq!(with_header(changes.clone()), Err(Refusal::Payload), "{changes}");
    }
    let good = good_token(Signer::Ed);
    for token in [
        format!("{good}.e30.e30"),
        format!("e30.{good}"),
        format!("{good}."),
        format!(".{good}"),
        "..".into(),
        "...".into(),
    ] {
        assert!(
            matches!(verdict(&authenticator(), &token), Err(Refusal::NotCompact | Refusal::HeaderJson)),
            "{token}"
        );
    }
}

/// A key twice: two readers of one token would not read the same (RFC 7515, 4; RFC 8725, 2.6).
#[test]
fn duplicate_json_keys() {
    let good = good_claims().to_string();
    for header in [
        r#"{"alg":"EdDSA","alg":"none"}"#,
        r#"{"alg":"none","alg":"EdDSA"}"#,
        r#"{"alg":"EdDSA","\u0061lg":"EdDSA"}"#,
        r#"{"alg":"EdDSA","x":{"a":1,"a":2}}"#,
    ] {
        assert_eq!(signed(Signer::Ed, header, &good), Err(Refusal::HeaderJson), "{header}");
    }
    for (was, twice) in [
        (r#""sub":"alice""#, r#""sub":"alice","sub":"admin""#),
        (r#""sub":"alice""#, r#""sub":"alice","s\u0075b":"admin""#),
        (r#""sub":"alice""#, r#""sub":"alice","x":[{"a":1,"a":1}]"#),
    ] {
        let claims = good.replace(was, twice);
        assert_ne!(claims, good);
        assert_eq!(signed(Signer::Ed, &header(Signer::Ed), &claims), Err(Refusal::ClaimsJson), "{twice}");
    }
}

/// JSON that is none, or none of an object; depth; bytes behind; an invisible mark in front; text that is not UTF-8.
#[test]
fn malformed_json() {
    let good = good_claims().to_string();
    let deep = format!(r#"{{"alg":"EdDSA","x":{}1{}}}"#, "[".repeat(2000), "]".repeat(2000));
    for header in [
        "",
        "null",
        "[]",
        r#"["EdDSA"]"#,
        "\"EdDSA\"",
        r#"{"alg":"EdDSA"}x"#,
        "\u{feff}{\"alg\":\"EdDSA\"}",
        "{'alg':1}",
        &deep,
    ] {
        assert_eq!(signed(Signer::Ed, header, &good), Err(Refusal::HeaderJson), "{header:.40}");
    }
    for claims in ["", "null", "[]", "1", "{", &format!("{good}{good}"), &format!("{good}\0")] {
        assert_eq!(signed(Signer::Ed, &header(Signer::Ed), claims), Err(Refusal::ClaimsJson), "{claims:.40}");
    }
    let message = format!("{}.{}", base64url(header(Signer::Ed)), base64url(b"{\"sub\":\"\xff\"}"));
    let token = format!("{message}.{}", base64url(Signer::Ed.sign(&message)));
    assert_eq!(verdict(&authenticator(), &token), Err(Refusal::ClaimsJson));
}

/// RFC 8725, 2.8, 3.11: a token of another kind from the same issuer.
#[test]
fn cross_jwt_confusion_by_type() {
    for kind in ["secevent+jwt", "logout+jwt", "dpop+jwt", "JOSE", "JWT ", "application/x/jwt", "", "refresh"]
    {
        assert_eq!(with_header(json!({"typ": kind})), Err(Refusal::Type), "{kind}");
    }
    for kind in [json!(null), json!(1), json!(["JWT"])] {
        assert_eq!(with_header(json!({"typ": kind})), Err(Refusal::Type), "{kind}");
    }
    let strict = builder(public_keys()).types(["application/at+jwt"]).build().unwrap();
    let of_kind = |header: Value| token_of(Signer::Ed, &header.to_string(), &good_claims().to_string());
    assert!(verdict(&strict, &of_kind(json!({"alg": "EdDSA", "typ": "AT+jwt"}))).is_ok());
    for other in [json!({"alg": "EdDSA", "typ": "JWT"}), json!({"alg": "EdDSA"})] {
        assert_eq!(verdict(&strict, &of_kind(other)), Err(Refusal::Type));
    }
}

/// RFC 8725, 2.7, 3.8, 3.9: a token that somebody else issued, or that is for somebody else (substitution).
#[test]
fn issuer_and_audience_substitution() {
    for issuer in [
        json!("https://evil.example"),
        json!("https://issuer.example/"),
        json!("HTTPS://issuer.example"),
        json!(""),
        json!(null),
        json!([ISSUER]),
        json!(1),
    ] {
        assert_eq!(with_claims(json!({"iss": issuer})), Err(Refusal::Issuer), "{issuer}");
    }
    for audience in [
        json!("other"),
        json!("LIVESET"),
        json!("liveset "),
        json!(""),
        json!(null),
        json!([]),
        json!(["other"]),
        json!(["liveset", 1]),
        json!([["liveset"]]),
        json!({"liveset": 1}),
        json!(1),
        json!("liveset,other"),
    ] {
        assert_eq!(with_claims(json!({"aud": audience})), Err(Refusal::Audience), "{audience}");
    }
}

/// A token without an end, or with one that no clock reaches.
#[test]
fn missing_or_malformed_times() {
    assert_eq!(with_claims(json!({"exp": null})), Err(Refusal::NoExpiry));
    let good = good_claims().to_string();
    for (claim, value) in [("exp", NOW + 600), ("nbf", NOW - 10), ("iat", NOW - 10)] {
        for wrong in [
            "1800000500.5",
            "1800000500.0",
            "1.8e9",
            "1e400",
            "-1",
            "-1e9",
            "-0.0",
            "253402300800",
            "9223372036854775807",
            "9223372036854775808",
            "18446744073709551615",
            "18446744073709551616",
            "1e308",
            "\"1800000500\"",
            "null",
            "true",
            "[1800000500]",
            "{}",
            "NaN",
            "Infinity",
            "1800000600000",
            "0x6B49D200",
        ] {
            let claims = good.replace(&format!("\"{claim}\":{value}"), &format!("\"{claim}\":{wrong}"));
            assert_ne!(claims, good, "{claim}");
            let refused = signed(Signer::Ed, &header(Signer::Ed), &claims);
            assert!(
                matches!(refused, Err(Refusal::Time | Refusal::ClaimsJson)),
                "{claim} {wrong}: {refused:?}"
            );
        }
    }
    for expires in [0, 1, NOW - 60] {
        assert_eq!(with_claims(json!({"exp": expires})), Err(Refusal::Expired), "{expires}");
    }
}

/// CVE-2026-25537 (jsonwebtoken for Rust): `nbf` as text was taken for absent, and so let everybody in early.
#[test]
fn malformed_not_before_is_not_absent() {
    assert_eq!(with_claims(json!({"nbf": (NOW + 99_999).to_string()})), Err(Refusal::Time));
}

/// A clock at either end of time does not turn a refusal around.
#[test]
fn a_clock_at_the_ends_of_time() {
    for (now, due) in [(0, Err(Refusal::NotYetValid)), (253_402_300_799, Err(Refusal::Expired))] {
        let authenticator = builder(public_keys()).clock(move || at(now)).build().unwrap();
        assert_eq!(verdict(&authenticator, &good_token(Signer::Ed)).map(drop), due);
    }
}

#[test]
fn missing_or_malformed_subject() {
    let long = "a".repeat(257);
    for subject in [json!(null), json!(""), json!(1), json!(["alice"]), json!({"a": 1}), json!(long)] {
        assert_eq!(with_claims(json!({"sub": subject})), Err(Refusal::Subject), "{subject}");
    }
    assert_eq!(with_claims(json!({"sub": "a".repeat(256)})), Ok(()));
}

/// A huge token is refused by its length, before it is decoded.
#[test]
fn huge_tokens() {
    let huge = format!("{}.{}.", good_token(Signer::Ed), "A".repeat(10_000_000));
    assert_eq!(verdict(&authenticator(), &huge), Err(Refusal::TooLong));
    assert_eq!(verdict(&authenticator(), &".".repeat(8 * 1024 + 1)), Err(Refusal::TooLong));
    assert_eq!(verdict(&authenticator(), &".".repeat(8 * 1024)), Err(Refusal::NotCompact));
    let good = good_token(Signer::Ed);
    for (limit, due) in [
        (good.len(), Ok(())),
        (good.len() - 1, Err(Refusal::TooLong)),
        (1, Err(Refusal::TooLong)),
        (0, Err(Refusal::TooLong)),
    ] {
        let authenticator = builder(public_keys()).max_token_bytes(limit).build().unwrap();
        assert_eq!(verdict(&authenticator, &good).map(drop), due);
    }
}

/// One token, many spellings: padding, the other alphabet, spare bits, white space (RFC 7515, 2). Lists of revoked tokens and
/// logs would not find it under another spelling.
#[test]
fn non_canonical_base64() {
    let good = good_token(Signer::Ed);
    let parts: Vec<&str> = good.split('.').collect();
    let [header, claims, signature] = parts[..] else { panic!("three parts") };
    assert!(signature.len() % 4 == 2, "64 bytes leave four spare bits in the last character");
    let last = signature.as_bytes()[signature.len() - 1];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let place = alphabet.iter().position(|byte| *byte == last).unwrap();
    let spare = format!("{}{}", &signature[..signature.len() - 1], char::from(alphabet[place | 1]));
    assert_ne!(spare, signature);
    for token in [
        format!("{header}.{claims}.{spare}"),
        format!("{header}.{claims}.{signature}=="),
        format!("{header}==.{claims}.{signature}"),
        format!("{header}.{claims}.{signature}\n"),
        format!(" {header}.{claims}.{signature}"),
        format!("{header}.{claims}.{}+/", &signature[..signature.len() - 2]),
        format!("{header}.{claims}.{signature}é"),
    ] {
        assert_eq!(verdict(&authenticator(), &token), Err(Refusal::Base64), "{token}");
    }
    // The payload's base64 is part of what is signed, and its form is looked at all the same.
    let padded = format!("{header}.{claims}=");
    let token = format!("{padded}.{}", base64url(Signer::Ed.sign(&padded)));
    assert_eq!(verdict(&authenticator(), &token), Err(Refusal::Base64));
}

/// CVE-2022-21449, "psychic signatures": r = s = 0 verifies everything where nobody looks.
#[test]
fn psychic_signatures() {
    let token = good_token(Signer::Ec);
    let (message, _) = token.rsplit_once('.').unwrap();
    let order = b"\xff\xff\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xbc\xe6\xfa\xad\xa7\x17\x9e\x84\xf3\xb9\xca\xc2\xfc\x63\x25\x51";
    for signature in [
        vec![0; 64],
        order.repeat(2),
        vec![0xff; 64],
        [&[0; 32][..], &order[..]].concat(),
        // Zeros as DER, which is not the form of RFC 7518.
        vec![0x30, 6, 2, 1, 0, 2, 1, 0],
    ] {
        let forged = format!("{message}.{}", base64url(&signature));
        assert_eq!(verdict(&authenticator(), &forged), Err(Refusal::Signature));
    }
    let zeros = format!("{}.{}", good_token(Signer::Ed).rsplit_once('.').unwrap().0, base64url([0; 64]));
    assert_eq!(verdict(&authenticator(), &zeros), Err(Refusal::Signature));
}

/// Signatures of another length or another form, and any bit of a token turned.
#[test]
fn changed_tokens() {
    for signer in [Signer::Rsa, Signer::Ec, Signer::Ed] {
        let token = good_token(signer);
        let (message, signature) = token.rsplit_once('.').unwrap();
        let bytes = signer.sign(message);
        for changed in [&bytes[..bytes.len() - 1], &[&bytes[..], &[0]].concat(), &[&[0], &bytes[..]].concat()]
        {
            let forged = format!("{message}.{}", base64url(changed));
            assert_eq!(verdict(&authenticator(), &forged), Err(Refusal::Signature));
        }
        for bit in 0..8 {
            for place in (0..token.len()).step_by(17) {
                let mut changed = token.clone().into_bytes();
                changed[place] ^= 1 << bit;
                let Ok(changed) = String::from_utf8(changed) else { continue };
                assert!(verdict(&authenticator(), &changed).is_err(), "byte {place}, bit {bit}");
            }
        }
        // Other claims under the same signature.
        let claims = base64url(claims_with(json!({"sub": "admin"})));
        let stolen = format!("{}.{claims}.{signature}", base64url(header(signer)));
        assert_eq!(verdict(&authenticator(), &stolen), Err(Refusal::Signature));
    }
    assert_eq!(verdict(&authenticator(), &good_token(Signer::OtherRsa)), Err(Refusal::Signature));
}

/// Without a key id it must be clear which key is meant: keys are not tried one after another.
#[test]
fn no_kid_with_several_keys() {
    let rotating = KeySet::from_jwks(&jwks([jwk(Signer::Rsa, "a"), jwk(Signer::OtherRsa, "b")])).unwrap();
    let authenticator = builder(rotating).build().unwrap();
    for signer in [Signer::Rsa, Signer::OtherRsa] {
        assert_eq!(verdict(&authenticator, &good_token(signer)), Err(Refusal::AmbiguousKey));
    }
    for (id, due) in [("a", Ok(())), ("b", Err(Refusal::Signature)), ("c", Err(Refusal::UnknownKey))] {
        let header = header_with(Signer::Rsa, json!({"kid": id}));
        let token = token_of(Signer::Rsa, &header, &good_claims().to_string());
        assert_eq!(verdict(&authenticator, &token).map(drop), due, "{id}");
    }
}

/// The claims of a token that nobody signed tell nothing of what is expected: every refusal of a forged token is for its
/// signature, whatever its claims.
#[test]
fn claims_are_not_read_before_the_signature_is_good() {
    for claims in [
        good_claims().to_string(),
        claims_with(json!({"iss": "x"})),
        claims_with(json!({"exp": 1})),
        "not json".into(),
    ] {
        let message = format!("{}.{}", base64url(header(Signer::Ed)), base64url(claims));
        let token = format!("{message}.{}", base64url([7; 64]));
        assert_eq!(verdict(&authenticator(), &token), Err(Refusal::Signature));
    }
}

/// `JwtAuthenticator` shows neither keys nor tokens.
#[test]
fn no_secret_shows() {
    let authenticator: JwtAuthenticator = builder(secret_key()).build().unwrap();
    let shown = format!("{authenticator:?} {:?}", secret_key());
    assert!(shown.contains(ISSUER) && shown.contains("Hs256"), "{shown}");
    assert!(!shown.contains("secret of more"), "{shown}");
    assert!(!shown.contains(&format!("{:?}", SECRET)), "{shown}");
}
