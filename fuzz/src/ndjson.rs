//! The body of the fuzz target: arbitrary bytes in, no panic out, and what must hold holds.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Read as _, Write as _};
use std::path::Path;

use bytes::Bytes;
use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use liveset::{Liveset, SetDef};
use liveset_engine::{Condition, Engine, EngineLimits, FieldKind, HashSeed, Op, Query, Timestamp};
use liveset_server::changes::{Changes, looks_like_commit};
use liveset_server::load::{Loaded, load_lines};
use liveset_server::ndjson::Lines;
use serde_json::value::RawValue;

use crate::text::{Json, Kind};

/// A line that is not blank, and its number from 1.
type Line = (u64, Vec<u8>);

/// Few, so that files have several commits of them.
const NODES_PER_COMMIT: usize = 3;

/// Loads a file. The first line says how it is written, a letter each: `g` gzipped, `m` in two members, `c` cut short, `x` with a
/// wrong byte, `r` the rest are the bytes of a gzipped file, `b` the rest many times over, `l` a line may have 40 bytes.
///
/// What is read is what a plain split of the whole file gives, every error names the file and the line that a reference
/// names, what is held is bounded by a line, and what the sets hold is a number of whole commits.
pub fn ndjson(data: &[u8]) {
    ndjson_reached(data);
}

/// The same; names what was reached.
pub fn ndjson_reached(data: &[u8]) -> BTreeSet<&'static str> {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (how, content) = (&data[..end], data.get(end + 1..).unwrap_or_default());
    let has = |letter| how.contains(&letter);
    let content = if has(b'b') && content.len() <= 2_000 { content.repeat(400) } else { content.to_vec() };
    let gzipped = has(b'g') || has(b'm') || has(b'r');
    let mut bytes = if gzipped && !has(b'r') { gzip(&content, has(b'm')) } else { content };
    if has(b'x') {
        let middle = bytes.len() / 2;
        bytes.iter_mut().skip(middle).take(1).for_each(|byte| *byte ^= 0x55);
    }
    if has(b'c') {
        bytes.truncate(bytes.len().saturating_sub(5));
    }
    let file = Path::new(if gzipped { "a.ndjson.gz" } else { "a.ndjson" });
    let max_line_bytes = if has(b'l') { 40 } else { 1_000 };

    let (text, fails) = if gzipped { gunzip(&bytes) } else { (bytes.clone(), false) };
    let (expected, wrong) = split(&text, fails, max_line_bytes);
    let mut lines = Lines::read(file, Cursor::new(bytes.clone())).max_line_bytes(max_line_bytes);
    let mut read = 0;
    let error = loop {
        let next = lines.next_line().map(|next| next.map(|(line, text)| (line, text.to_vec())));
        assert!(lines.held_bytes() <= 2 * (max_line_bytes + 2) + 64, "{} bytes are held", lines.held_bytes());
        match next {
            Ok(Some(next)) => {
                assert_eq!(Some(&next), expected.get(read), "line {read} of those that are not blank");
                read += 1;
            }
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    assert_eq!(read, expected.len());
    let wrong_at = wrong.map(|(line, _)| line);
    assert_eq!(error.as_ref().and_then(|error| error.line), wrong_at, "{error:?}");
    let mut reached = BTreeSet::from([if gzipped { "gzip" } else { "plain" }]);
    reached.extend(wrong.map(|(_, what)| what));

    let lines = Lines::read(file, Cursor::new(bytes)).max_line_bytes(max_line_bytes);
    check_load(lines, file, &expected, wrong_at, &mut reached);
    reached
}

/// Loads it, and follows each line by itself.
fn check_load(
    mut lines: Lines,
    file: &Path,
    expected: &[Line],
    wrong_at: Option<u64>,
    reached: &mut BTreeSet<&'static str>,
) {
    let sets = || ["s", "t"].map(|name| SetDef::new(name).field("at", FieldKind::Instant));
    let builder = sets().into_iter().fold(Liveset::builder(), |builder, set| builder.set(set));
    let liveset = builder.build().expect("sets");
    let result = load_lines(&liveset, "s", &mut lines, NODES_PER_COMMIT);

    let mut engine = Engine::new(EngineLimits::default(), HashSeed::FIXED);
    sets().into_iter().for_each(|set| engine.define_set(set).expect("a set"));
    let mut nodes = Vec::new();
    let outcome = follow(&mut engine, expected, &mut nodes, reached);
    // What was read before the line that cannot be is put in when its commit is full.
    let outcome = match (outcome, wrong_at) {
        (Ok(_), Some(line)) => Err(line),
        (Ok(loaded), None) => commit_nodes(&mut engine, &mut nodes).map(|()| loaded),
        (Err(line), _) => Err(line),
    };
    match (&result, outcome) {
        (Ok(loaded), Ok(expected)) => {
            reached.insert("loaded");
            assert_eq!(*loaded, expected);
        }
        (Err(error), Err(line)) => {
            let text = error.to_string();
            assert!(
                text.starts_with(&format!("{}:{line}: ", file.display())),
                "{text}, expected line {line}"
            );
            assert!(!text.contains(char::is_control), "it is shown in one line: {text:?}");
        }
        (result, outcome) => panic!("{result:?}, expected {outcome:?}"),
    }
    for set in ["s", "t"] {
        let plan = engine.prepare(&Query::new(set)).expect("a query");
        let expected = engine.evaluate(Timestamp::UNIX_EPOCH, &plan).expect("nothing is read");
        let held = liveset.query(Query::new(set)).expect("a query");
        assert_eq!(held.count, expected.count, "{set}: nothing is half applied");
        assert_eq!(held.rows, expected.rows);
    }
}

/// Line by line, each commit by itself. The line that is wrong.
fn follow(
    engine: &mut Engine,
    lines: &[Line],
    nodes: &mut Vec<(u64, Bytes)>,
    reached: &mut BTreeSet<&'static str>,
) -> Result<Loaded, u64> {
    let mut loaded = Loaded::default();
    for (line, text) in lines {
        let text = Bytes::copy_from_slice(text);
        if is_commit(&text) {
            let ops = std::str::from_utf8(&text).ok().and_then(ops_of);
            let changes = Changes::parse(&text);
            let read = changes.as_ref().map(|changes| &changes.ops);
            assert_eq!(format!("{:?}", read.ok()), format!("{:?}", ops.as_ref()), "{text:?}: {changes:?}");
            let ops = ops.ok_or_else(|| {
                reached.insert("a commit that is none");
                *line
            })?;
            check_written(&ops);
            commit_nodes(engine, nodes)?;
            engine.commit(Timestamp::UNIX_EPOCH, ops).map_err(|_| {
                reached.insert("a commit that is refused");
                *line
            })?;
            loaded.commits += 1;
            reached.insert("a commit");
        } else {
            nodes.push((*line, text));
            loaded.nodes += 1;
            if nodes.len() == NODES_PER_COMMIT {
                commit_nodes(engine, nodes).inspect_err(|_| {
                    reached.insert("a node that is refused");
                })?;
                reached.insert("a commit of nodes");
            }
        }
    }
    Ok(loaded)
}

fn commit_nodes(engine: &mut Engine, nodes: &mut Vec<(u64, Bytes)>) -> Result<(), u64> {
    let nodes = std::mem::take(nodes);
    if nodes.is_empty() {
        return Ok(());
    }
    let ops = nodes.iter().map(|(_, node)| Op::Upsert { set: "s".into(), node: node.clone() });
    match engine.commit(Timestamp::UNIX_EPOCH, ops.collect()) {
        Ok(_) => Ok(()),
        Err(error) => Err(nodes[error.index].0),
    }
}

/// An object of `ops`, a list, and perhaps `at`: by its fields, whatever they hold.
fn is_commit(text: &Bytes) -> bool {
    let is_commit = looks_like_commit(text);
    if std::str::from_utf8(text).is_ok() {
        let mut values =
            serde_json::Deserializer::from_slice(text).into_iter::<BTreeMap<String, Box<RawValue>>>();
        let fields = values.next().and_then(Result::ok).unwrap_or_default();
        let is_list = fields.get("ops").is_some_and(|ops| ops.get().starts_with('['));
        let expected = is_list && fields.keys().all(|name| name == "ops" || name == "at");
        assert_eq!(is_commit, expected, "{text:?}");
    }
    is_commit
}

/// What a commit does: an object of `ops` and perhaps `at`, each once and nothing else. `None` where it is none.
fn ops_of(text: &str) -> Option<Vec<Op>> {
    let json = Json::lenient(text)?;
    let [at, ops] = fields(&json, ["at", "ops"])?;
    match at.map(|at| &at.kind) {
        None | Some(Kind::Null) => {}
        Some(Kind::Text(Some(at))) => drop(Timestamp::parse_rfc3339(at)?),
        Some(_) => return None,
    }
    let op = |op: &Json<'_>| {
        let names = ["op", "set", "node", "id", "patch", "upsert", "if", "params"];
        let [kind, set, node, id, patch, upsert, condition, params] = fields(op, names)?;
        let set: std::sync::Arc<str> = set?.text()?.into();
        let bytes = |json: &Json<'_>| Bytes::copy_from_slice(json.raw.as_bytes());
        let op = match (kind?.text()?, node, id, patch, upsert) {
            ("upsert", Some(node), None, None, None) => Some(Op::Upsert { set, node: bytes(node) }),
            ("clear", None, None, None, None) if condition.is_none() && params.is_none() => {
                Some(Op::Clear { set })
            }
            (kind @ ("remove" | "patch"), None, Some(id), patch, upsert) => {
                let whole = || {
                    id.raw.parse::<i64>().map(i128::from).or_else(|_| id.raw.parse::<u64>().map(i128::from))
                };
                let id = match &id.kind {
                    Kind::Text(Some(id)) => id.clone(),
                    Kind::Number => whole().ok()?.to_string(),
                    _ => return None,
                };
                match (kind, patch, upsert.map(Json::boolean)) {
                    ("remove", None, None) => Some(Op::Remove { set, id }),
                    ("patch", Some(patch), None | Some(Some(_))) => {
                        let upsert = upsert.and_then(Json::boolean).unwrap_or(false);
                        Some(Op::Patch { set, id, patch: bytes(patch), upsert })
                    }
                    _ => None,
                }
            }
            _ => None,
        }?;
        let condition = match (condition, params) {
            (None, None) => return Some(op),
            (None, Some(_)) => return None,
            (Some(condition), None) => Condition::filter(condition.text()?),
            (Some(condition), Some(params)) => {
                // Queries have the same reader of parameters.
                let query = Query::parse(format!("{{\"edge\":\"\",\"params\":{}}}", params.raw).as_bytes());
                let condition = Condition::filter(condition.text()?);
                query.ok()?.params.into_iter().fold(condition, |it, (name, value)| it.bind(name, value))
            }
        };
        Some(Op::If { condition, op: Box::new(op) })
    };
    ops?.list()?.iter().map(op).collect()
}

/// The fields of an object that has no others, and none of them twice.
fn fields<'j, 't, const N: usize>(json: &'j Json<'t>, names: [&str; N]) -> Option<[Option<&'j Json<'t>>; N]> {
    let mut fields = [None; N];
    for (name, value) in json.object()? {
        let place = names.iter().position(|known| Some(*known) == name.as_deref())?;
        if fields[place].replace(value).is_some() {
            return None;
        }
    }
    Some(fields)
}

/// What was read can be written and reads back the same.
fn check_written(read: &[Op]) {
    let op = |op: &Op| {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        match op {
            Op::Upsert { set, node } => {
                let node = String::from_utf8_lossy(node);
                format!("{{\"set\":{},\"node\":{node},\"op\":\"upsert\"}}", quoted(set))
            }
            Op::Remove { set, id } => {
                format!("{{\"op\":\"remove\",\"id\":{},\"set\":{}}}", quoted(id), quoted(set))
            }
            Op::Patch { set, id, patch, upsert } => {
                let patch = String::from_utf8_lossy(patch);
                format!(
                    "{{\"upsert\":{upsert},\"patch\":{patch},\"op\":\"patch\",\"id\":{},\"set\":{}}}",
                    quoted(id),
                    quoted(set)
                )
            }
            Op::Clear { set } => format!("{{\"set\":{},\"op\":\"clear\"}}", quoted(set)),
            other => panic!("{other:?} is not written"),
        }
    };
    // A condition does not show its text.
    if read.iter().any(|op| matches!(op, Op::If { .. })) {
        return;
    }
    let ops: Vec<String> = read.iter().map(op).collect();
    let text = format!("[{}]", ops.join(","));
    let again = Changes::parse(&text.clone().into()).expect("what was read can be written");
    assert_eq!(format!("{:?}", again.ops), format!("{read:?}"), "{text}");
}

/// The lines that are not blank, with their numbers, and the one at which reading ends, if it does before the end.
fn split(text: &[u8], fails: bool, max_line_bytes: usize) -> (Vec<Line>, Option<(u64, &'static str)>) {
    let mut lines = Vec::new();
    let mut pieces: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    let rest = pieces.pop().unwrap_or_default();
    let whole = pieces.len();
    // What is behind the last line end is a line too, where there is anything, and where that is all of it.
    if !rest.is_empty() || fails {
        pieces.push(rest);
    }
    for (number, piece) in pieces.into_iter().enumerate() {
        let (line, is_whole) = (number as u64 + 1, number < whole);
        let piece = if is_whole { piece.strip_suffix(b"\r").unwrap_or(piece) } else { piece };
        let is_cut = !is_whole && fails;
        if piece.len() > max_line_bytes + usize::from(is_cut) {
            return (lines, Some((line, "a line that is too long")));
        }
        if is_cut {
            return (lines, Some((line, "a file that cannot be read")));
        }
        if number == 0 && piece.starts_with(b"\xef\xbb\xbf") {
            return (lines, Some((line, "a byte order mark")));
        }
        let is_blank = |byte: &u8| b" \t\r\n".contains(byte);
        if let Some(start) = piece.iter().position(|byte| !is_blank(byte)) {
            let end = piece.iter().rposition(|byte| !is_blank(byte)).map_or(start, |last| last + 1);
            lines.push((line, piece[start..end].to_vec()));
        }
    }
    (lines, None)
}

fn gzip(content: &[u8], in_two: bool) -> Vec<u8> {
    let (first, second) = content.split_at(if in_two { content.len() / 2 } else { content.len() });
    let mut bytes = Vec::new();
    for part in [first, second].into_iter().take(if in_two { 2 } else { 1 }) {
        let mut member = GzEncoder::new(bytes, Compression::fast());
        member.write_all(part).expect("there is room");
        bytes = member.finish().expect("there is room");
    }
    bytes
}

/// All that can be read, and whether it ends in an error. In pieces of the size in which `Lines` reads: what a decoder gives
/// before an error depends on that.
fn gunzip(bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut decoder = MultiGzDecoder::new(bytes);
    let (mut text, mut piece) = (Vec::new(), vec![0; 128 * 1024]);
    loop {
        match decoder.read(&mut piece) {
            Ok(0) => return (text, false),
            Ok(read) => text.extend_from_slice(&piece[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return (text, true),
        }
    }
}
