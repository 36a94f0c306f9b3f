//! The table of limits names every limit there is, with its default, and nothing else.

use std::collections::BTreeMap;

use crate::support::run;

const GUIDE: &str = include_str!("../../../server/guide/limits.md");
const TABLE: &str = include_str!("../../../liveset/src/limits.md");

/// Name and default of each row of the table; the latter without separators of thousands, and without what it means in other units.
fn documented() -> BTreeMap<String, String> {
    let mut rows = BTreeMap::new();
    for row in TABLE.lines().filter_map(|line| line.strip_prefix("| `")) {
        let (name, rest) = row.split_once("` | ").expect("a name");
        let cells: Vec<&str> = rest.split(" | ").collect();
        assert_eq!(cells.len(), 3, "name, default, of what, beyond it: {row}");
        let default = cells[0].split(" (").next().expect("a default").replace(',', "");
        assert!(!cells[1].is_empty(), "{name} is said to be of something");
        assert_eq!(rows.insert(name.to_owned(), default), None, "{name} stands there twice");
    }
    rows
}

#[test]
fn every_limit_is_in_the_table_with_its_default() {
    let (ok, printed, stderr) = run(&["serve", "--print-config"]);
    assert!(ok, "{stderr}");
    let printed: toml::Table = toml::from_str(&printed).expect("TOML");
    let mut printed_limits = BTreeMap::new();
    for (part, limits) in printed["limits"].as_table().expect("[limits]") {
        for (name, value) in limits.as_table().expect("a part") {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            printed_limits.insert(format!("{part}.{name}"), value);
        }
    }
    assert!(printed_limits.len() > 70, "{printed_limits:?}");
    let documented = documented();
    for (name, value) in &printed_limits {
        let said = documented.get(name).unwrap_or_else(|| panic!("{name} is not in limits.md"));
        // A length of time has more than one spelling.
        let length = |text: &str| liveset_server::config::duration::parse(text).ok();
        assert!(
            said == value || (length(said).is_some() && length(said) == length(value)),
            "{name}: {said}, {value}"
        );
    }
    for name in documented.keys() {
        assert!(printed_limits.contains_key(name), "there is no limit {name}");
    }
}

/// A row is one message: common clients refuse one of the size that a row may have.
#[test]
fn the_size_of_a_row_comes_with_the_settings_of_clients() {
    let bytes = documented()["engine.max_node_bytes"].parse::<u64>().expect("bytes");
    for setting in ["max_size=2**21", "SetReadLimit(2 << 20)", "setDefaultMaxTextMessageBufferSize(2 << 20)"]
    {
        assert!(GUIDE.contains(setting), "{setting}");
    }
    let row = TABLE.lines().find(|line| line.starts_with("| `engine.max_node_bytes`")).expect("a row");
    assert!(row.contains("one message"), "{row}");
    assert!(bytes < 2 << 20, "what the clients are told to take is enough");
}
