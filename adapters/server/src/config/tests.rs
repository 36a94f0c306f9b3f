use std::path::Path;
use std::time::Duration;

use super::*;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(Path::new("liveset.toml"), text).map_err(|error| error.to_string())
}

#[test]
fn an_empty_file_is_the_defaults() {
    assert_eq!(parse("").unwrap(), Config::default());
}

#[test]
fn claims_are_json() {
    for claims in ["{ level = nan }", "{ deep = { list = [1.5, -inf] } }"] {
        let token = format!("[auth]\ntokens = [{{ token = \"a\", subject = \"b\", claims = {claims} }}]\n");
        let policy = format!("[[policy]]\nset = \"*\"\nclaims = {claims}\n");
        for config in [token, policy] {
            let error = parse(&config).unwrap_err();
            assert!(error.contains("a claim cannot be nan or inf"), "{error}");
        }
    }
}

#[test]
fn dates_and_times_in_claims_are_their_text() {
    let claims = "{ since = 2020-01-01T00:00:00Z, days = [2020-01-02, { at = 2020-01-03 12:30:00+01:00 }] }";
    let config = parse(&format!(
        "[auth]\ntokens = [{{ token = \"a\", subject = \"b\", claims = {claims} }}]\n[[policy]]\nset = \"*\"\nclaims = {claims}\n"
    ))
    .unwrap();
    let expected = serde_json::json!({
        "since": "2020-01-01T00:00:00Z",
        "days": ["2020-01-02", { "at": "2020-01-03T12:30:00+01:00" }],
    });
    for claims in [&config.auth.tokens[0].claims, &config.policies[0].claims] {
        assert_eq!(serde_json::to_value(claims).unwrap(), expected);
    }
}

#[test]
fn limits_with_which_nobody_could_be_served_are_refused() {
    let zero = [
        ("http", "max_connections"),
        ("http", "max_connections_per_address"),
        ("http", "max_handshakes"),
        ("http", "max_handshakes_per_address"),
        ("http", "connections_per_second"),
        ("http", "connection_burst"),
        ("http", "header_timeout"),
        ("http", "write_timeout"),
        ("http", "body_timeout"),
        ("http", "requests_per_second"),
        ("http", "request_burst"),
        ("jwt", "max_token_bytes"),
        ("jwt", "keys_timeout"),
        ("transport", "write_timeout"),
        ("session", "auth_timeout"),
        ("session", "pong_timeout"),
        ("session", "message_bytes"),
        ("session", "messages_per_second"),
        ("session", "message_burst"),
        ("hub", "connections_per_subject"),
    ];
    for (part, name) in zero {
        let (zero, one) = if name.ends_with("timeout") { ("\"0s\"", "\"1s\"") } else { ("0", "1") };
        let error = parse(&format!("[limits.{part}]\n{name} = {zero}\n")).unwrap_err();
        assert!(error.contains("nobody could be served"), "{error}");
        assert!(error.contains(&format!("2:{}", name.len() + 4)) || error.contains(name), "{error}");
        parse(&format!("[limits.{part}]\n{name} = {one}\n")).unwrap();
    }
    for (part, name) in [("engine", "max_window"), ("session", "chunk_rows"), ("http", "queries_at_once")] {
        let error = parse(&format!("[limits.{part}]\n{name} = 0\n")).unwrap_err();
        assert!(error.contains(&format!("limits.{part}.{name}: has to be at least 1")), "{error}");
        parse(&format!("[limits.{part}]\n{name} = 1\n")).unwrap();
    }
    let error = parse("[limits.jwt]\nkeys_max_stale = \"9m\"\n").unwrap_err();
    assert!(error.contains(":2:18: limits.jwt.keys_max_stale: ") && error.contains("10m"), "{error}");
    parse("[limits.jwt]\nkeys_max_stale = \"9m\"\nkeys_max_age = \"9m\"\n").unwrap();
}

#[test]
fn the_documented_file_is_read() {
    let config = parse(
        r#"
        listen = "0.0.0.0:9000"
        metrics_public = true
        ready_stale_limit = "5m"
        [auth]
        tokens = [{ token = "a", subject = "shop" }, { token = "b", subject = "screen", read_only = true }]
        [[set]]
        name = "orders"
        load = "orders.ndjson.gz"
        fields = [{ name = "createdAt", type = "instant", required = true }]
        [[set]]
        name = "skus"
        key = "sku"
        [[resource]]
        path = "jobs/{jobId}"
        events = ["jobStarted"]
        [limits.session]
        auth_timeout = "3s"
        live_queries = 7
        [limits.engine]
        shards = 2
        slice_rows = 1_000
        max_unindexed_views = 10
        max_columns = 20
        [limits.http]
        max_body_bytes = 1_000
        [clock]
        source = "commits"
        [tls]
        cert = "cert.pem"
        key = "key.pem"
        [cors]
        origins = ["https://shop.example"]
        [websocket]
        origins = ["https://screen.example"]
        absent_origin = "refuse"
        "#,
    )
    .unwrap();
    assert_eq!(config.ready_stale_limit, Some(Duration::from_secs(300)));
    assert_eq!(config.auth.tokens.len(), 2);
    assert!(config.auth.tokens[1].read_only);
    assert_eq!(config.sets[0].key, "id");
    assert_eq!(config.sets[1].key, "sku");
    assert_eq!(config.limits.liveset.session.auth_timeout, Duration::from_secs(3));
    assert_eq!(config.limits.liveset.session.live_queries, 7);
    let engine = &config.limits.liveset.engine;
    assert_eq!((engine.shards, engine.slice_rows), (2, 1_000));
    assert_eq!((engine.max_unindexed_views, engine.max_columns), (10, 20));
    assert_eq!(config.limits.http.max_body_bytes, 1000);
    assert_eq!(config.clock.source, ClockSource::Commits);
    assert_eq!(config.tls.as_ref().unwrap().key, Path::new("key.pem"));
    assert_eq!(config.websocket.absent_origin, AbsentOrigin::Refuse);

    // What is printed reads back as the same, and has no token unless asked.
    assert_eq!(parse(&config.print(true).unwrap()).unwrap(), config);
    let shown = config.print(false).unwrap();
    assert!(!shown.contains("token = \"a\""), "{shown}");
    assert!(toml::from_str::<toml::Table>(&shown).is_ok());
    assert!(parse(&shown).unwrap_err().contains("--print-config"));
}

#[test]
fn an_error_names_the_line_and_the_key() {
    for (text, place, what) in [
        ("\nlisen = 1", ":2:1: lisen: ", "unknown field `lisen`"),
        ("listen = 1", ":1:10: listen: ", "expected a string"),
        ("listen = \"here\"", ":1:10: listen: ", "not an address and a port"),
        ("metrics_public = \"yes\"", ":1:18: metrics_public: ", "expected a boolean"),
        ("ready_stale_limit = \"long\"", ":1:21: ready_stale_limit: ", "not a length of time"),
        ("a = = 1", ":1:5: ", "="),
        ("log = \"a=b=c\"", ":1:7: log: ", "not a log filter"),
        ("[auth]\ntoken = []", ":2:1: auth.token: ", "unknown field `token`"),
        ("[auth]\ntokens = [\n  { token = \"a\" },\n]", ":3:3: auth.tokens[0]: ", "missing field `subject`"),
        ("[auth]\ntokens = [{ token = \"\", subject = \"a\" }]", ":2:21: auth.tokens[0].token: ", "empty"),
        (
            "[auth]\ntokens = [{ token = \"a b\", subject = \"a\" }]",
            ":2:21: auth.tokens[0].token: ",
            "white space",
        ),
        (
            "[auth]\ntokens = [\n{ token = \"a\", subject = \"a\" },\n{ token = \"a\", subject = \"b\" }]",
            ":4:11: auth.tokens[1].token: ",
            "already",
        ),
        ("[[set]]\nname = \"a\"\n[[set]]\nname = \"a\"", ":4:8: set[1].name: ", "already"),
        ("[[set]]\nname = \"a\"\nkeys = \"b\"", ":3:1: set[0].keys: ", "unknown field `keys`"),
        ("[[set]]\nkey = \"a\"", ":1:1: set[0]: ", "missing field `name`"),
        ("[[set]]\nname = \"a\"\nload = \"a.json\"", ":3:8: set[0].load: ", ".ndjson"),
        (
            "[[set]]\nname = \"a\"\nfields = [{ name = \"x\", type = \"date\" }]",
            ":3:32: set[0].fields[0].type: ",
            "unknown variant `date`",
        ),
        (
            "[[set]]\nname = \"a\"\nfields = [{ name = \"x\", type = \"text\" }, { name = \"x\", type = \"bool\" }]",
            ":3:51: set[0].fields[1].name: ",
            "declared already",
        ),
        ("[[resource]]\npath = \"a\"\nevents = []", ":3:10: resource[0].events: ", "at least one"),
        (
            "[limits.session]\nauth_timout = \"1s\"",
            ":2:1: limits.session.auth_timout: ",
            "unknown field `auth_timout`",
        ),
        ("[limits.sessions]\n", ":1:9: limits.sessions: ", "unknown field `sessions`"),
        ("[limits.session]\nauth_timeout = 10", ":2:16: limits.session.auth_timeout: ", "write \"10s\""),
        (
            "[limits.session]\nauth_timeout = \"ten\"",
            ":2:16: limits.session.auth_timeout: ",
            "length of time",
        ),
        ("[limits.session]\nlive_queries = -1", ":2:16: limits.session.live_queries: ", "negative"),
        ("[limits.session]\nlive_queries = \"7\"", ":2:16: limits.session.live_queries: ", "not a number"),
        ("[limits.http]\nheader_timeout = \"0s\"", ":2:18: limits.http.header_timeout: ", "nobody"),
        ("[clock]\nsource = \"sun\"", ":2:10: clock.source: ", "unknown variant `sun`"),
        ("[cors]\norigins = [\"*\"]", ":2:12: cors.origins[0]: ", "exact origin"),
        ("[websocket]\norigins = [\"https://a.b/\"]", ":2:12: websocket.origins[0]: ", "exact origin"),
        ("[websocket]\nabsent_origin = \"refuse\"", ":2:17: websocket.absent_origin: ", "add origins"),
        ("[websocket]\nabsent_origin = \"no\"", ":2:17: websocket.absent_origin: ", "unknown variant `no`"),
        ("[tls]\ncert = \"a\"", ":1:1: tls: ", "missing field `key`"),
        ("[limits.http]\nmax_handshakes = 0", ":2:18: limits.http.max_handshakes: ", "nobody"),
        ("[cors]\norigins = [\"https://a.b/\"]", ":2:12: cors.origins[0]: ", "exact origin"),
        ("[websocket]\norigins = [\"null\"]", ":2:12: websocket.origins[0]: ", "cannot be listed"),
        ("[websocket]\norigins = [\"file://\"]", ":2:12: websocket.origins[0]: ", "cannot be listed"),
    ] {
        let error = parse(text).expect_err(text);
        assert!(error.starts_with("liveset.toml:"), "{error}");
        assert!(error.contains(place), "{text}\nshould be at {place}\n{error}");
        assert!(error.contains(what), "{text}\nshould say {what}\n{error}");
    }
}

#[test]
fn an_error_shows_the_line_and_what_was_meant() {
    let error = parse("log = \"info\"\n[[set]]\nnmae = \"東京 😀\"").unwrap_err();
    let expected = "\
liveset.toml:3:1: set[0].nmae: unknown field `nmae`, expected one of `name`, `key`, `load`, `strict`, `fields`
  |
3 | nmae = \"東京 😀\"
  | ^^^^
  |
  = help: did you mean `name`?";
    assert_eq!(error, expected);
    // The mark stands under what is wrong, however wide the characters before it are.
    let error = parse("[[set]]\nname = \"a\"\nfields = [{ name = \"東京\", type = \"date\" }]").unwrap_err();
    assert!(error.contains(&format!("\n  | {}^^^^^^", " ".repeat(34))), "{error}");
    for (text, meant) in [
        ("lisen = 1", Some("listen")),
        ("[limits.session]\nauth_timout = \"1s\"", Some("auth_timeout")),
        ("[clock]\nsource = \"sytem\"", Some("system")),
        ("[clock]\nsource = \"sun\"", None),
        ("x = 1", None),
    ] {
        let error = parse(text).unwrap_err();
        let said = error.split_once("did you mean `").and_then(|(_, rest)| rest.split('`').next());
        assert_eq!(said, meant, "{error}");
    }
}

#[test]
fn an_error_shows_no_token() {
    for wrong in [
        r#"tokens = [{ token = "very secret", subject = "a" }]"#,
        r#"tokens = [{ token = "very-secret", sub = "a" }]"#,
        r#"tokens = ["secret-abc"]"#,
        r#"tokens = "secret-abc""#,
        "tokens = [\n  \"secret-abc\",\n]",
        "tokens = [\n  [\"secret-abc\"],\n]",
        "tokens = [{ token = secret-abc, subject = \"a\" }]",
        "tokens = [\n  { subject = \"a\", token = secret-abc },\n]",
        r#"tokens = [{ token = "abc\"secret" x, subject = "a" }]"#,
        "tokens = [{ token = 'secret-abc, subject = \"a\" }]",
        "tokens = [{ token = { secret = 1 }, subject = \"a\" }]",
        "tokens = [{ subject = \"a\", token = \"t\", \"secret\" }]",
        "tokens = [{ token = 5ecret, subject = \"a\" }]",
        r#"tokens = [{ "secret-abc" = "alice" }]"#,
        r#"tokens = { "secret-abc" = "alice" }"#,
    ] {
        for text in [
            format!("[auth]\n{wrong}\n[[set]]\nname = \"orders\""),
            format!("listen = \"127.0.0.1:1\"\nauth.{wrong}"),
            format!("[auth] # who\n# auth\n{wrong}"),
            format!("\"auth\".{wrong}"),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(!error.contains("secret") && !error.contains("5ecret"), "{text}\n{error}");
            assert!(
                error.contains(":2:")
                    || error.contains(":3:")
                    || error.contains(":1:")
                    || error.contains(":4:"),
                "{error}"
            );
        }
    }
    let error = parse("[auth]\ntokens = [{ token = 12345678, subject = \"a\" }]").unwrap_err();
    assert!(
        !error.contains("12345678") && error.contains("auth.tokens[0].token: invalid type: integer"),
        "{error}"
    );
    // Elsewhere the line is shown.
    let error = parse("[auth]\ntokens = []\n[[set]]\nname = 5").unwrap_err();
    assert!(error.contains("4 | name = 5\n  |        ^"), "{error}");
    let error = parse("authors = 5").unwrap_err();
    assert!(error.contains("1 | authors = 5"), "{error}");
}

#[test]
fn flags_win_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("liveset.toml");
    std::fs::write(
        &file,
        "listen = \"127.0.0.1:1\"\n[tls]\ncert = \"c.pem\"\nkey = \"k.pem\"\n[auth]\ntokens = [{token=\"a\",subject=\"a\"}]\n[[set]]\nname = \"s\"\nload = \"s.ndjson\"",
    )
    .unwrap();
    let overrides = Overrides {
        listen: Some("127.0.0.1:2".into()),
        tokens: vec![liveset::Token::new("bob=b=c")],
        sets: vec!["flights:code=/data/flights.ndjson.gz".into(), "plain".into()],
        resources: vec!["jobs=started+done".into()],
        limits: vec!["session.live_queries=3".into(), "http.header_timeout=1s".into()],
        clock: Some(ClockSource::Commits),
        tls_key: Some("/keys/k.pem".into()),
        ..Overrides::default()
    };
    let config = Config::load(Some(&file), &overrides).unwrap();
    assert_eq!(config.listen, "127.0.0.1:2");
    assert_eq!(config.auth.tokens[1].token, "b=c");
    assert_eq!(config.sets[0].load.as_deref(), Some(folder.path().join("s.ndjson").as_path()));
    assert_eq!((config.sets[1].key.as_str(), config.sets[2].key.as_str()), ("code", "id"));
    assert_eq!(config.resources[0].events, ["started", "done"]);
    assert_eq!(config.limits.liveset.session.live_queries, 3);
    assert_eq!(config.limits.http.header_timeout, Duration::from_secs(1));

    let tls = config.tls.clone().unwrap();
    assert_eq!((tls.cert, tls.key), (folder.path().join("c.pem"), "/keys/k.pem".into()));

    let before = Config::load(Some(&file), &Overrides::default()).unwrap();
    assert_eq!(before.needs_restart(&config), ["listen", "clock"], "what else differs is taken over");
    let mut others = config.clone();
    others.limits.liveset.session.message_bytes = 100;
    others.limits.liveset.engine.max_views = 1;
    assert_eq!(
        config.needs_restart(&others),
        ["limits.session.message_bytes", "limits.engine.max_views"],
        "of what is read and made by them from the start"
    );
    let mut taken = before.clone();
    taken.take(config.clone());
    assert_eq!(taken.needs_restart(&config), before.needs_restart(&config));
    assert_eq!((&taken.sets, &taken.resources), (&config.sets, &config.resources));
    assert_eq!((taken.listen, taken.limits.http), (before.listen, config.limits.http.clone()));

    assert!(!format!("{overrides:?}").contains("b=c"), "{overrides:?}");
    for (limit, what) in [
        ("live_queries=3", "PART.NAME=VALUE"),
        ("session.live_querys=3", "session has"),
        ("session.live_queries", "NAME=VALUE"),
        ("session.live_queries=many", "not a number"),
        ("session.auth_timeout=3", "\"3s\""),
    ] {
        let overrides = Overrides { limits: vec![limit.into()], ..Overrides::default() };
        let error = Config::load(None, &overrides).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
}

#[cfg(not(feature = "store"))]
#[test]
fn a_store_that_was_not_built_in_is_refused_at_once() {
    let error = parse("[store]\npath = \"a.db\"").unwrap_err();
    assert!(error.contains(":1:1: store: ") && error.contains("--features store"), "{error}");
    let overrides = Overrides { store: Some("a.db".into()), ..Overrides::default() };
    let error = Config::load(None, &overrides).unwrap_err().to_string();
    assert!(error.contains("--features store"), "{error}");
}

#[cfg(feature = "store")]
#[test]
fn what_is_wrong_with_a_store_is_named_with_its_place() {
    for (store, what) in [
        ("path = \"\"", ":2:8: store.path: a file needs a name"),
        ("path = 7", ":2:8: store.path: "),
        ("durability = \"always\"", ": store: missing field `path`"),
        (
            "path = \"a.db\"\ndurability = \"often\"",
            ":3:14: store.durability: durability 'often' is not known",
        ),
        ("path = \"a.db\"\ndurability = 100", ":3:14: store.durability: "),
        ("path = \"a.db\"\nsync = true", ":3:1: store.sync: unknown field `sync`"),
    ] {
        let error = parse(&format!("[store]\n{store}")).unwrap_err();
        assert!(error.contains(what), "{store}\nshould say {what}\n{error}");
    }
    let alone = Overrides { durability: Some("100ms".into()), ..Overrides::default() };
    assert!(Config::load(None, &alone).unwrap_err().to_string().contains("--store FILE"));
    let both = Overrides { store: Some("a.db".into()), ..alone };
    let store = Config::load(None, &both).unwrap().store.unwrap();
    assert_eq!((store.path.to_str(), &*store.durability), (Some("a.db"), "100ms"));
}

#[cfg(not(feature = "jwt"))]
#[test]
fn json_web_tokens_that_were_not_built_in_are_refused_at_once() {
    let error = parse("[jwt]\nissuer = \"i\"\naudience = \"a\"\nsecret_file = \"s\"").unwrap_err();
    assert!(error.contains(":1:1: jwt: ") && error.contains("--features jwt"), "{error}");
}
