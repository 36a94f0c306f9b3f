//! The body of the fuzz target `json`, which looks at the readers that users do not see.

use crate::json::{Wanted, extract, find, is_same};
use crate::{JsonError, JsonLimits, Number, Path, Projection, QueryLimits, Value, json};

/// Whatever JSON can be read, is the same without its white space, and is the same when every one of its fields is asked for;
/// what cannot be read says where.
pub fn json(data: &[u8]) {
    let limits = JsonLimits::default();
    let mut compact = Vec::new();
    json::compact(data, &mut compact);
    let read = json::parse(data, &limits);
    assert_eq!(
        json::check(data, &limits),
        read.as_ref().map(drop).map_err(Clone::clone),
        "checked as it is read"
    );
    extraction(data, &compact, &read, &limits);
    let value = match read {
        Ok(value) => value,
        Err(error) => {
            assert!(error.offset() <= data.len(), "{error}");
            assert!(!error.to_string().contains('\n'), "{error}");
            // Bytes that are not JSON are passed over, not trusted.
            let _ = Projection::parse(&["a.b".into()], "id", &QueryLimits::default())
                .map(|projection| projection.project(data));
            return;
        }
    };
    assert!(compact.len() <= data.len());
    assert_eq!(json::parse(&compact, &limits).as_ref(), Ok(&value), "white space means nothing");
    let mut again = Vec::new();
    json::compact(&compact, &mut again);
    assert_eq!(again, compact, "there is none left");

    let Value::Object(object) = &value else { return };
    let names: Vec<&str> = object.iter().map(|(name, _)| name).collect();
    let fields: Vec<String> = names.iter().map(|name| Path::field(name).to_string()).collect();
    let (Some(key), true) = (names.first(), fields.iter().map(String::len).sum::<usize>() < 10_000) else {
        return;
    };
    let Ok(all) = Projection::parse(&fields, key, &QueryLimits::default()) else { return };
    let projected = all.project(&compact);
    assert_eq!(json::parse(&projected, &limits).as_ref(), Ok(&value), "a projection to all fields shows all");
    assert_eq!(projected, compact, "in the order and the spelling of the node");

    // One field shows that field and the key.
    let one = Projection::parse(&fields[fields.len() - 1..], key, &QueryLimits::default())
        .expect("one of the fields");
    let shown = json::parse(&one.project(&compact), &limits).expect("a projection is JSON");
    assert!(one.same(&value, &shown), "a projection keeps what it shows");
    assert!(all.same(&value, &value));
}

/// Reading only what is wanted refuses what reading everything refuses, and sees the same values.
fn extraction(data: &[u8], compact: &[u8], read: &Result<Value, JsonError>, limits: &JsonLimits) {
    let mut paths = vec![Path::field("a"), Path::from_names(vec!["a".into(), "b".into()]), Path::field("a")];
    if let Ok(value) = read {
        add_paths(value, &mut Vec::new(), &mut paths);
    }
    let wanted = Wanted::new(&paths);
    let (value, extracted) = match (read, extract(data, &wanted, limits)) {
        (Ok(value), Ok(extracted)) => (value, extracted),
        (Err(error), Err(other)) => return assert_eq!(*error, other, "the same trouble"),
        (read, extracted) => panic!("{read:?} read, but extracted {extracted:?}"),
    };
    for (place, path) in paths.iter().enumerate() {
        let (found, there) = (&extracted.values[place], value.find(path));
        assert_eq!(found, value.at(path), "the value at {path}");
        assert!(computes_alike(found, value.at(path)), "the numbers at {path}");
        assert_eq!(extracted.was_present(place), there.is_some(), "whether there is {path}");
        assert_eq!(find(compact, path), *found, "the value at {path}, looked up");
    }
    assert_eq!(extracted.compact.as_deref(), (compact != data).then_some(compact), "white space goes");
    let again = extract(compact, &wanted, limits).expect("it was read before");
    assert_eq!(again.digest, extracted.digest, "white space has no part in the digest");
    assert!(is_same(data, compact), "white space means nothing");
}

/// Adds the paths to some of the fields of a value.
fn add_paths(value: &Value, names: &mut Vec<Box<str>>, paths: &mut Vec<Path>) {
    let Value::Object(object) = value else { return };
    for (name, value) in object.iter() {
        if paths.len() >= 70 || names.len() >= 4 {
            return;
        }
        names.push(name.into());
        paths.push(Path::from_names(names.clone()));
        add_paths(value, names, paths);
        names.pop();
    }
}

/// Whether arithmetic on two equal values comes out alike: each number in the one is an integer where it is one in the other.
fn computes_alike(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            matches!(a, Number::Float(_)) == matches!(b, Number::Float(_))
        }
        (Value::List(a), Value::List(b)) => a.iter().zip(b).all(|(a, b)| computes_alike(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.iter().zip(b.iter()).all(|((_, a), (_, b))| computes_alike(a, b))
        }
        _ => true,
    }
}
