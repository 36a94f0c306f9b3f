//! The README shows the example that is compiled here, to the letter.

#[test]
fn the_readme_shows_the_example_as_it_is() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../");
    let read =
        |path: &str| std::fs::read_to_string(format!("{root}{path}")).expect("a file of the repository");
    let readme = read("README.md");
    let example = read("adapters/axum/examples/axum.rs");
    assert!(
        readme.contains(&format!("```rust,no_run\n{example}```")),
        "README.md must show adapters/axum/examples/axum.rs as it is"
    );
}
