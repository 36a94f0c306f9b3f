//! Every metric that the packages count has a help text, and every help text a metric.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

/// Names that were described.
#[derive(Default)]
struct Described(Arc<Mutex<BTreeSet<String>>>);

impl Described {
    fn add(&self, name: &KeyName, help: &str) {
        assert!(!help.is_empty(), "{name:?}");
        assert!(self.0.lock().unwrap().insert(name.as_str().to_owned()), "{name:?} is described twice");
    }
}

impl Recorder for Described {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        assert!(name.as_str().ends_with("_total"), "{name:?}");
        self.add(&name, &help);
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.add(&name, &help);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.add(&name, &help);
    }

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// The names in the source texts of a folder.
fn counted(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            counted(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            for kind in ["counter!(\"", "gauge!(\"", "histogram!(\""] {
                names.extend(text.split(kind).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()));
            }
        }
    }
}

#[test]
fn every_metric_has_a_help_text() {
    let described = Described::default();
    metrics::with_local_recorder(&described, liveset_server::http::describe);
    let mut names = BTreeSet::new();
    for package in ["liveset", "server", "store"] {
        counted(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(package).join("src"), &mut names);
    }
    assert!(names.len() > 100, "{names:?}");
    assert_eq!(*described.0.lock().unwrap(), names);
}
