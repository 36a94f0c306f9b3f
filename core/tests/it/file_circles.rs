//! No file imports one that imports it, at whatever distance: each can be read after those that it stands on. An import of what an
//! ancestor has, by a child of it, is none of these: a folder is one room.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A module: the names that lead to it from the root of its package.
type Module = Vec<String>;

const PACKAGES: &[&str] = &[
    "core",
    "engine",
    "adapters/hub",
    "adapters/liveset",
    "adapters/client",
    "adapters/jwt",
    "adapters/server",
    "adapters/cli",
];

/// The modules of a package and their texts, without those that are for tests.
fn modules(folder: &Path, module: &Module, found: &mut BTreeMap<Module, String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
        if ["fuzzing", "test_kit", "testing", "tests"].contains(&name.as_str()) {
            continue;
        }
        let mut inner = module.clone();
        if path.is_dir() {
            inner.push(name);
            modules(&path, &inner, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            if !["lib", "mod", "main"].contains(&name.as_str()) {
                inner.push(name);
            }
            let text = fs::read_to_string(&path).expect("text");
            let product = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
            let code = product.lines().filter(|line| !line.trim_start().starts_with("//"));
            found.insert(inner, code.collect::<Vec<_>>().join("\n"));
        }
    }
}

/// The paths that a tree of `use` names, each in full.
fn paths(before: &[String], tree: &str, found: &mut Vec<Module>) {
    let (mut depth, mut begin) = (0, 0);
    let mut parts = Vec::new();
    for (place, character) in tree.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&tree[begin..place]);
                begin = place + 1;
            }
            _ => {}
        }
    }
    parts.push(&tree[begin..]);
    for part in parts.into_iter().map(str::trim).filter(|part| !part.is_empty()) {
        let (names, inner) = part.split_once('{').map_or((part, None), |(names, inner)| (names, Some(inner)));
        let names = names.split("::").map(str::trim).filter(|name| !name.is_empty());
        let path: Vec<String> = before.iter().cloned().chain(names.map(str::to_owned)).collect();
        match inner.and_then(|inner| inner.rsplit_once('}')) {
            Some((inner, _)) => paths(&path, inner, found),
            None => found.push(path),
        }
    }
}

/// Which modules a module imports from, its ancestors left out.
fn imports(module: &Module, text: &str, known: &BTreeMap<Module, String>) -> BTreeSet<Module> {
    let mut used = Vec::new();
    let statements = text.split(';').filter_map(|statement| {
        let (_, tree) = statement.rsplit_once("use ")?;
        Some(tree).filter(|tree| ["crate::", "super::", "self::"].iter().any(|root| tree.starts_with(root)))
    });
    statements.for_each(|tree| paths(&[], tree, &mut used));
    let mut found = BTreeSet::new();
    for path in used {
        let mut full = module.clone();
        let mut names = path.into_iter().peekable();
        match names.next().as_deref() {
            Some("crate") => full.clear(),
            Some("super") => {
                full.pop();
                while names.next_if(|name| name == "super").is_some() {
                    full.pop();
                }
            }
            _ => {}
        }
        full.extend(names);
        while !known.contains_key(&full) && full.pop().is_some() {}
        if !module.starts_with(&full) {
            found.insert(full);
        }
    }
    found
}

#[test]
fn files_import_each_other_in_one_direction() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    for package in PACKAGES {
        let mut known = BTreeMap::new();
        modules(&root.join(package).join("src"), &Vec::new(), &mut known);
        let mut left: BTreeMap<&Module, BTreeSet<Module>> =
            known.iter().map(|(module, text)| (module, imports(module, text, &known))).collect();
        let all: usize = left.values().map(BTreeSet::len).sum();
        assert!(all > known.len() / 2, "{package}: the imports are found: {all} in {} files", known.len());
        // Whoever imports none of those that are left goes; who is left then is in a circle, or leads into one.
        loop {
            let rest: BTreeSet<Module> = left.keys().map(|module| (*module).clone()).collect();
            let before = left.len();
            left.retain(|_, imports| imports.iter().any(|import| rest.contains(import)));
            if left.len() == before {
                break;
            }
        }
        assert!(
            left.is_empty(),
            "{package}: these files are in a circle, or lead into one: {:#?}",
            left.keys()
        );
    }
}
