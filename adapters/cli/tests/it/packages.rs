//! What is published: the packages, and what is in them.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(arguments)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The packages of the workspace that are for others.
fn published() -> Vec<Value> {
    let metadata = cargo(&["metadata", "--format-version", "1", "--no-deps", "--offline", "--locked"]);
    let metadata: Value = serde_json::from_str(&metadata).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages").clone();
    packages.into_iter().filter(|package| package["publish"].is_null()).collect()
}

#[test]
fn each_package_says_what_it_is() {
    let packages = published();
    assert_eq!(packages.len(), 10, "{packages:?}");
    for package in packages {
        let name = package["name"].as_str().expect("a name");
        let texts = |key: &str| package[key].as_array().expect("a list").len();
        assert!((3..=5).contains(&texts("keywords")), "{name}");
        assert!((1..=5).contains(&texts("categories")), "{name}");
        for word in package["keywords"].as_array().expect("a list") {
            let word = word.as_str().expect("a text");
            let is_right =
                word.len() <= 20 && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
            assert!(is_right, "{name}: {word}");
        }
        for key in ["description", "license", "readme", "rust_version"] {
            assert!(package[key].as_str().is_some_and(|text| !text.is_empty()), "{name} has no {key}");
        }
        assert_eq!(package["metadata"]["docs"]["rs"]["all-features"], true, "{name}");
    }
}

#[test]
fn no_package_has_tests_or_keys_in_it() {
    for package in published() {
        let name = package["name"].as_str().expect("a name");
        let list = cargo(&["package", "--list", "--allow-dirty", "--offline", "--locked", "-p", name]);
        let files: BTreeSet<&str> = list.lines().collect();
        for file in ["Cargo.toml", "README.md", "LICENSE-MIT", "LICENSE-APACHE", "src/lib.rs"] {
            assert!(files.contains(file), "{name} has no {file}");
        }
        let is_for_us =
            |file: &&&str| file.starts_with("tests/") || file.ends_with(".pem") || file.ends_with(".key");
        assert_eq!(files.iter().find(is_for_us), None, "{name}");
    }
}
