//! The files of `adapters/server/deploy`: they fit the server that they are for.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use liveset_server::config::LimitsConfig;
use serde_json::Value;

use crate::support::demo::{runs, skip};
use crate::support::run;

/// Where help texts of metrics stand, and so their names.
const TABLES: [&str; 3] = [
    include_str!("../../../liveset/src/metrics.md"),
    include_str!("../../../server/guide/operation.md"),
    include_str!("../../../server/guide/store.md"),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/deploy")
}

pub(crate) fn read(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The metrics that a server has, as Prometheus names their series.
fn series() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for name in TABLES.iter().flat_map(|table| table.split('`')) {
        if name.starts_with("liveset_") || name.starts_with("process_") {
            names.insert(name.to_owned());
            if table_says_histogram(name) {
                names.extend(["bucket", "sum", "count"].map(|part| format!("{name}_{part}")));
            }
        }
    }
    names.insert("up".into());
    names
}

fn table_says_histogram(name: &str) -> bool {
    let row = format!("| `{name}` | histogram |");
    TABLES.iter().any(|table| table.contains(&row))
}

/// The metrics that an expression names.
pub(crate) fn named(expression: &str) -> BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = expression.split(|c| !is_part(c));
    words.filter(|word| word.starts_with("liveset_") || word.starts_with("process_")).collect()
}

#[test]
fn each_panel_of_the_dashboard_shows_metrics_that_there_are() {
    let dashboard: Value = serde_json::from_str(&read("grafana.json")).unwrap();
    let series = series();
    let (mut expressions, mut ids) = (0, BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            let named = named(expression);
            assert!(!named.is_empty(), "{expression}");
            for name in named {
                assert!(series.contains(name), "{name} in {expression}");
            }
            expressions += 1;
        }
    }
    assert!(expressions > 20, "{expressions}");
}

/// The values of a key of a file of YAML that has one a line.
fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    let lines = text.lines().map(|line| line.trim().trim_start_matches("- "));
    lines
        .filter_map(|line| line.strip_prefix(key))
        .map(|value| value.trim().trim_matches(['\'', '"']))
        .collect()
}

#[test]
fn each_alert_is_of_metrics_that_there_are_and_has_a_page_in_the_runbook() {
    let (alerts, runbook) = (read("alerts.yaml"), read("runbook.md"));
    let series = series();
    for expression in values(&alerts, "expr:") {
        for name in named(expression) {
            assert!(series.contains(name), "{name} in {expression}");
        }
    }
    let names = values(&alerts, "alert:");
    let headings: Vec<_> = runbook.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert_eq!(names, headings);
    let pages: Vec<_> = names.iter().map(|name| format!("runbook.md#{}", name.to_lowercase())).collect();
    assert_eq!(values(&alerts, "runbook:"), pages);
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

#[test]
fn each_alert_fires_when_it_should_and_only_then() {
    if !runs("promtool") {
        return skip("promtool is not installed");
    }
    let tests = read("alerts-test.yaml");
    for name in values(&read("alerts.yaml"), "alert:") {
        assert_eq!(
            values(&tests, "alertname:").iter().filter(|tested| **tested == name).count(),
            2,
            "{name}"
        );
        let (_, rest) = tests.split_once(&format!("- name: {name}\n")).unwrap_or_else(|| panic!("{name}"));
        let of_it = rest.split("  - name: ").next().unwrap();
        // That none fires before its time, and no other then.
        assert_eq!(of_it.matches("ALERTS{alertstate=\"firing\"}").count(), 2, "{name}");
    }
    for arguments in [["check", "rules", "alerts.yaml"], ["test", "rules", "alerts-test.yaml"]] {
        let output = Command::new("promtool").args(arguments).current_dir(folder()).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    }
}

/// How long a stop takes at most: a drain, those who do not go, and requests that do not end.
fn longest_stop() -> Duration {
    let limits = LimitsConfig::default();
    limits.drain.wait + limits.drain.spread + 2 * limits.http.shutdown_timeout
}

#[test]
fn the_unit_of_systemd_is_right_and_lets_the_server_drain() {
    let unit = read("liveset.service");
    let seconds: u64 = values(&unit, "TimeoutStopSec=")[0].parse().unwrap();
    assert!(Duration::from_secs(seconds) > longest_stop(), "{seconds} s");
    if !runs("systemd-analyze") {
        // Not everywhere that this is tested is there a systemd.
        eprintln!("skipped: systemd-analyze is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("liveset.service");
    assert!(unit.contains("ExecStart=/usr/local/bin/liveset serve "));
    std::fs::write(&file, unit.replace("/usr/local/bin/liveset", env!("CARGO_BIN_EXE_liveset"))).unwrap();
    let output = Command::new("systemd-analyze").arg("verify").arg(&file).output().unwrap();
    let said = said(&output);
    let of_ours: Vec<_> = said.lines().filter(|line| line.contains("liveset.service")).collect();
    assert!(of_ours.is_empty(), "{said}");
}

#[test]
fn the_pod_has_a_right_configuration_probes_and_the_time_to_drain() {
    let text = read("kubernetes.yaml");
    let seconds: u64 = values(&text, "terminationGracePeriodSeconds:")[0].parse().unwrap();
    let (_, slept) = text.split_once("preStop:\n              sleep: { seconds: ").unwrap();
    let slept: u64 = slept.split(' ').next().unwrap().parse().unwrap();
    let longest = longest_stop() + Duration::from_secs(slept);
    assert!(Duration::from_secs(seconds) > longest, "{seconds} s");
    for probe in [
        "livenessProbe:\n            httpGet: { path: /livez,",
        "readinessProbe:\n            httpGet: { path: /readyz,",
    ] {
        assert!(text.contains(probe), "{probe}");
    }
    // This binary may have no store.
    let (_, rest) = text.split_once("liveset.toml: |\n").unwrap();
    let (config, _) = rest.split_once("\n---").unwrap();
    let config: Vec<_> = config.lines().map(str::trim).filter(|line| !line.starts_with("path =")).collect();
    let config = config.join("\n").replace("[store]\n", "");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config).unwrap();
    let (ok, printed, error) = run(&["serve", "--print-config", "--config", file.path().to_str().unwrap()]);
    assert!(ok, "{error}");
    assert!(
        printed.contains("listen = \"0.0.0.0:8080\"") && printed.contains("log_format = \"json\""),
        "{printed}"
    );
}

#[test]
fn every_file_is_named_on_the_page_of_the_folder() {
    let page = read("README.md");
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name == "README.md" || page.contains(&format!("[{name}]({name})")), "{name}");
    }
}
