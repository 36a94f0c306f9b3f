//! JSON text of a host's value, without silent changes.
//!
//! `serde_json` writes a float that is no number (`NaN`, an infinity) as `null`, which is another value: filters and
//! orders would treat the field as absent and nobody would know. Here it is an error.

use bytes::Bytes;
use serde::Serialize;
use serde::ser::{self, Error as _};
use serde_json::Error;

/// Writes `value` as JSON text.
pub(crate) fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, Error> {
    let text = serde_json::to_string(value)?;
    // Only what was written as null can have been a float; the value is walked a second time only then.
    if text.contains("null") {
        value.serialize(Check)?;
    }
    Ok(text.into())
}

/// Walks a value, and fails at the first float that JSON has no word for.
#[derive(Clone, Copy)]
struct Check;

fn check(is_finite: bool) -> Result<(), Error> {
    if is_finite { Ok(()) } else { Err(Error::custom("a float is NaN or infinite")) }
}

macro_rules! scalars {
    ($($method:ident($type:ty),)*) => {
        $(fn $method(self, _: $type) -> Result<(), Error> { Ok(()) })*
    };
}

impl ser::Serializer for Check {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    scalars! {
        serialize_bool(bool), serialize_i8(i8), serialize_i16(i16), serialize_i32(i32), serialize_i64(i64),
        serialize_i128(i128), serialize_u8(u8), serialize_u16(u16), serialize_u32(u32), serialize_u64(u64),
        serialize_u128(u128), serialize_char(char), serialize_str(&str), serialize_bytes(&[u8]),
        serialize_unit_struct(&'static str),
    }

    fn serialize_f32(self, value: f32) -> Result<(), Error> {
        check(value.is_finite())
    }

    fn serialize_f64(self, value: f64) -> Result<(), Error> {
        check(value.is_finite())
    }

    fn serialize_none(self) -> Result<(), Error> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<(), Error> {
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Error> {
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Error> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Error> {
        Ok(self)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Error> {
        Ok(self)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, Error> {
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Error> {
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Error> {
        Ok(self)
    }
}

macro_rules! lists {
    ($($trait:ident::$method:ident,)*) => {
        $(impl ser::$trait for Check {
            type Ok = ();
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                value.serialize(*self)
            }

            fn end(self) -> Result<(), Error> {
                Ok(())
            }
        })*
    };
}

lists! {
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field,
}

macro_rules! structs {
    ($($trait:ident,)*) => {
        $(impl ser::$trait for Check {
            type Ok = ();
            type Error = Error;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, _: &'static str, value: &T) -> Result<(), Error> {
                value.serialize(*self)
            }

            fn end(self) -> Result<(), Error> {
                Ok(())
            }
        })*
    };
}

structs! { SerializeStruct, SerializeStructVariant, }

impl ser::SerializeMap for Check {
    type Ok = ();
    type Error = Error;

    // A key that is such a float is refused by serde_json itself.
    fn serialize_key<T: Serialize + ?Sized>(&mut self, _: &T) -> Result<(), Error> {
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(*self)
    }

    fn end(self) -> Result<(), Error> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Serialize)]
    struct Node<'a> {
        id: &'a str,
        nothing: Option<u8>,
        unit: (),
        numbers: Vec<f64>,
        by_name: BTreeMap<&'a str, Kind>,
    }

    #[derive(Serialize)]
    enum Kind {
        Unit,
        Newtype(f32),
        Tuple(u8, f64),
        Struct { value: Option<f64> },
    }

    fn node(numbers: Vec<f64>, kind: Kind) -> Node<'static> {
        Node { id: "n", nothing: None, unit: (), numbers, by_name: BTreeMap::from([("k", kind)]) }
    }

    #[test]
    fn null_stays_null_and_text_may_say_null() {
        for kind in [Kind::Unit, Kind::Newtype(1.5), Kind::Tuple(1, 2.5), Kind::Struct { value: None }] {
            let node = node(vec![0.1, -0.0, f64::MAX], kind);
            assert_eq!(to_json(&node).unwrap(), serde_json::to_vec(&node).unwrap());
        }
        assert_eq!(&to_json("null").unwrap()[..], b"\"null\"");
    }

    #[test]
    fn floats_that_are_no_numbers_are_refused_wherever_they_are() {
        assert!(to_json(&f64::NAN).is_err());
        assert!(to_json(&node(vec![1.0, f64::INFINITY], Kind::Unit)).is_err());
        assert!(to_json(&node(vec![], Kind::Newtype(f32::NAN))).is_err());
        assert!(to_json(&node(vec![], Kind::Tuple(1, f64::NEG_INFINITY))).is_err());
        assert!(to_json(&node(vec![], Kind::Struct { value: Some(f64::NAN) })).is_err());
        let error = to_json(&[f64::NAN]).unwrap_err().to_string();
        assert_eq!(error, "a float is NaN or infinite");
    }
}
