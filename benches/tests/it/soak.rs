//! The soak for a minute, as it comes with every run of the tests: see `cargo run --release -p liveset-benches -- soak`.

use std::process::Command;

#[test]
fn nothing_is_lost_and_memory_does_not_grow_in_a_minute_of_churn() {
    let output = Command::new(env!("CARGO_BIN_EXE_liveset-benches"))
        .args(["soak", "--seconds", "50", "--connections", "120"])
        .output()
        .expect("the command runs");
    let (said, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{failed}");
    // Not by having done nothing.
    let counts = said.lines().find(|line| line.starts_with("of the clients")).expect("a summary");
    let count = |name: &str| {
        let rest = counts.split(&format!("{name} ")).nth(1).expect("a count");
        rest.split(',').next().and_then(|number| number.parse::<u64>().ok()).expect("a number")
    };
    for name in ["connections", "resumed", "diffs", "events"] {
        assert!(count(name) > 0, "{name}: {said}");
    }
}
