//! The laws of the house that a machine can check: which package may know which, and that the sans-IO ones have
//! nothing below them that opens a socket, reads a clock or runs a task.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    process::Command,
};

use serde_json::Value;

/// Who may depend on whom inside the workspace, for the product itself (tests and benches may use more).
const ALLOWED: &[(&str, &[&str])] = &[
    ("liveset-core", &[]),
    ("liveset-engine", &["liveset-core"]),
    ("liveset-hub", &["liveset-core", "liveset-engine"]),
    ("liveset", &["liveset-core", "liveset-engine", "liveset-hub"]),
    ("liveset-axum", &["liveset"]),
    ("liveset-client", &["liveset-core"]),
    ("liveset-jwt", &["liveset"]),
    ("liveset-store", &["liveset"]),
    (
        "liveset-server",
        &[
            "liveset-core",
            "liveset-engine",
            "liveset-hub",
            "liveset",
            "liveset-axum",
            "liveset-jwt",
            "liveset-store",
        ],
    ),
    ("liveset-cli", &["liveset-core", "liveset-engine", "liveset", "liveset-client", "liveset-server"]),
    ("liveset-benches", &["liveset-core", "liveset-engine", "liveset-hub", "liveset", "liveset-cli"]),
    (
        "liveset-fuzz",
        &["liveset-core", "liveset-engine", "liveset-hub", "liveset", "liveset-jwt", "liveset-server"],
    ),
];

/// What a sans-IO package may have below it, at any depth.
const SANS_IO: &[&str] = &["liveset-core", "liveset-engine", "liveset-hub"];
const BELOW_SANS_IO: &[&str] = &[
    "allocator-api2",
    "arrayvec",
    "blake3",
    "bytes",
    "castaway",
    "cfg-if",
    "compact_str",
    "constant_time_eq",
    "cpufeatures",
    "equivalent",
    // With seeds alone, and only behind features for tests.
    "fastrand",
    "foldhash",
    "hashbrown",
    // Reads lengths of time in limits, and no clock.
    "humantime",
    "indexmap",
    "itoa",
    "memchr",
    "nom",
    "ryu",
    "serde",
    "serde_core",
    "serde_json",
    "siphasher",
    "slab",
    "smallvec",
    "static_assertions",
    "strsim",
    "thiserror",
    "triomphe",
    "zmij",
];

/// Build-time code: runs in the compiler, not in the product.
const PROC_MACROS: &[&str] = &["rustversion", "serde_derive", "thiserror-impl"];

struct Workspace {
    /// Names of the members.
    members: BTreeSet<String>,
    /// Normal dependencies, by package name.
    below: BTreeMap<String, BTreeSet<String>>,
}

fn workspace() -> Workspace {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--locked", "--offline", "--manifest-path", manifest])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");

    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let names: BTreeMap<String, String> =
        list(&metadata["packages"]).iter().map(|p| (text(&p["id"]), text(&p["name"]))).collect();
    let members = list(&metadata["workspace_members"]).iter().map(|id| names[&text(id)].clone()).collect();
    let mut below: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for node in list(&metadata["resolve"]["nodes"]) {
        let dependencies = below.entry(names[&text(&node["id"])].clone()).or_default();
        for dependency in list(&node["deps"]) {
            if list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"].is_null()) {
                dependencies.insert(names[&text(&dependency["pkg"])].clone());
            }
        }
    }
    Workspace { members, below }
}

#[test]
fn packages_know_only_those_below_them() {
    let workspace = workspace();
    let listed: BTreeSet<String> = ALLOWED.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(workspace.members, listed, "every package of the workspace has its line in ALLOWED");
    for (name, allowed) in ALLOWED {
        let known = workspace.below[*name].iter().filter(|dep| workspace.members.contains(*dep));
        let foreign: Vec<_> = known.filter(|dep| !allowed.contains(&dep.as_str())).collect();
        assert!(foreign.is_empty(), "{name} must not know {foreign:?}");
    }
}

#[test]
fn sans_io_packages_have_no_io_below_them() {
    let workspace = workspace();
    for name in SANS_IO {
        let mut seen = BTreeSet::new();
        let mut open = vec![(*name).to_owned()];
        while let Some(package) = open.pop() {
            for dependency in &workspace.below[&package] {
                if !PROC_MACROS.contains(&dependency.as_str()) && seen.insert(dependency.clone()) {
                    open.push(dependency.clone());
                }
            }
        }
        let foreign: Vec<_> = seen
            .iter()
            .filter(|dep| !BELOW_SANS_IO.contains(&dep.as_str()) && !SANS_IO.contains(&dep.as_str()))
            .collect();
        assert!(foreign.is_empty(), "{name} must not have {foreign:?} below it");
    }
}

#[test]
fn sans_io_packages_forbid_clocks_by_lint() {
    for folder in ["core", "engine", "adapters/hub"] {
        let path = format!("{}/../{folder}/clippy.toml", env!("CARGO_MANIFEST_DIR"));
        let lints = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        for clock in ["std::time::Instant::now", "std::time::SystemTime::now"] {
            assert!(lints.contains(clock), "{path} must forbid {clock}");
        }
    }
}

/// The engine speaks the common vocabulary and knows nothing of conversations.
#[test]
fn the_engine_takes_from_core_the_vocabulary_alone() {
    let mut folders = vec![PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../engine/src"))];
    let mut found = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("text");
            for rest in text.split("liveset_core::").skip(1) {
                let module: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let is_allowed = ["model", "json", "time"].contains(&module.as_str());
                assert!(is_allowed, "{}: liveset_core::{module}", path.display());
                found += 1;
            }
        }
    }
    assert!(found > 0, "the engine uses the vocabulary");
}
