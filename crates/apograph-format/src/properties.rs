//! Properties of a version: one JSON object in one canonical form.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde::ser::{Error as _, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Number, Value};

use crate::limits::{PROPERTIES_BYTES_MAX, PROPERTIES_DEPTH_MAX};

/// A JSON object in canonical form: keys sorted by their UTF-8 bytes, no white space, numbers as `serde_json` writes them.
///
/// Refused at the gate, because two parsers would read two things: duplicate keys, numbers that a double cannot
/// hold exactly enough to come back the same integer, more than 32 levels, more than 256 KiB.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Properties(Box<str>);

/// Why a text is no properties.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PropertiesError {
    /// No JSON, not an object, or one of the refusals above.
    #[error("properties are not acceptable: {reason}")]
    Json {
        /// What and where.
        reason: String,
    },
    /// Larger than [`PROPERTIES_BYTES_MAX`].
    #[error(
        "properties have at most {PROPERTIES_BYTES_MAX} bytes as canonical JSON, these have {found}; put large data into the content"
    )]
    TooLarge {
        /// Bytes of the canonical form.
        found: usize,
    },
}

impl Properties {
    /// Reads JSON text.
    pub fn parse(text: &str) -> Result<Properties, PropertiesError> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let value = Strict { depth: 0 }
            .deserialize(&mut deserializer)
            .and_then(|value| deserializer.end().map(|()| value))
            .map_err(|error| PropertiesError::Json { reason: error.to_string() })?;
        Properties::of(&value)
    }

    fn of(value: &Value) -> Result<Properties, PropertiesError> {
        let Value::Object(_) = value else {
            return Err(PropertiesError::Json { reason: "expected a JSON object".into() });
        };
        let canonical = value.to_string();
        if canonical.len() > PROPERTIES_BYTES_MAX {
            return Err(PropertiesError::TooLarge { found: canonical.len() });
        }
        Ok(Properties(canonical.into()))
    }

    /// `{}`.
    pub fn empty() -> Properties {
        Properties("{}".into())
    }

    /// Canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As a value.
    pub fn to_value(&self) -> Value {
        serde_json::from_str(&self.0).expect("properties are canonical JSON")
    }

    /// From bytes that were stored: they were canonical when they were hashed, so that they are JSON is all that is looked at.
    pub(crate) fn from_stored(bytes: &[u8]) -> Result<Properties, PropertiesError> {
        let json = |reason: String| PropertiesError::Json { reason };
        let text = std::str::from_utf8(bytes).map_err(|error| json(error.to_string()))?;
        if !text.starts_with('{') {
            return Err(json("expected a JSON object".into()));
        }
        serde_json::from_str::<IgnoredAny>(text).map_err(|error| json(error.to_string()))?;
        Ok(Properties(text.into()))
    }
}

/// The text as it is, where the format is JSON.
impl Serialize for Properties {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_json::from_str::<&RawValue>(&self.0).map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Properties {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Properties, D::Error> {
        let value = Strict { depth: 0 }.deserialize(deserializer)?;
        Properties::of(&value).map_err(D::Error::custom)
    }
}

impl fmt::Display for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Builds a JSON value and refuses what other parsers might read differently.
#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: serde::de::Error>(self) -> Result<Strict, E> {
        if self.depth >= PROPERTIES_DEPTH_MAX {
            return Err(E::custom(format!("nested deeper than {PROPERTIES_DEPTH_MAX} levels")));
        }
        Ok(Strict { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if value.fract() == 0.0 && value.abs() > EXACT {
            return Err(E::custom(
                "a whole number beyond 2^53 is not kept exactly by JSON readers; send it as a string",
            ));
        }
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let deeper = self.deeper()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(deeper)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let deeper = self.deeper()?;
        let mut object = BTreeMap::new();
        while let Some(key) = members.next_key::<String>()? {
            let value = members.next_value_seed(deeper)?;
            if object.insert(key.clone(), value).is_some() {
                return Err(A::Error::custom(format!("duplicate key {key:?}")));
            }
        }
        Ok(Value::Object(object.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_form() {
        let properties =
            Properties::parse("{ \"b\": [1, 2.5, null], \"a\": {\"z\": true, \"é\": \"x\"} }").unwrap();
        assert_eq!(properties.as_str(), r#"{"a":{"z":true,"é":"x"},"b":[1,2.5,null]}"#);
        assert_eq!(Properties::parse(properties.as_str()).unwrap(), properties);
    }

    #[test]
    fn what_is_stored_travels_as_it_is_and_what_arrives_is_looked_at() {
        let properties = Properties::parse(r#"{"title":"é","none":{},"numbers":[1,2.5]}"#).unwrap();
        let stored = Properties::from_stored(properties.as_str().as_bytes()).unwrap();
        assert_eq!(stored, properties);
        let json = serde_json::to_string(&vec![&stored]).unwrap();
        assert_eq!(json, format!("[{}]", properties.as_str()));
        let [read] = serde_json::from_str::<[Properties; 1]>(&json).unwrap();
        assert_eq!(read, properties);
        let value = serde_json::to_value(&stored).unwrap();
        assert_eq!(value, stored.to_value());
        assert_eq!(serde_json::from_value::<Properties>(value).unwrap(), properties);
        for refused in ["{\"a\":1,\"a\":2}", "[1]", "7"] {
            assert!(serde_json::from_str::<Properties>(refused).is_err(), "{refused}");
        }
        for damaged in [&b"{\"a\":"[..], b"[]", b"{\"a\":\xff}", b"{}{}", b""] {
            assert!(Properties::from_stored(damaged).is_err(), "{damaged:?}");
        }
    }

    #[test]
    fn refusals_name_their_reason() {
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(40), "]".repeat(40));
        let large = format!("{{\"a\":\"{}\"}}", "x".repeat(PROPERTIES_BYTES_MAX));
        let cases = [
            ("[]", "object"),
            ("{\"a\":1,\"a\":2}", "duplicate key \"a\""),
            ("{\"x\":{\"a\":1,\"a\":2}}", "duplicate key"),
            ("{\"a\":12345678901234567890123}", "2^53"),
            ("{\"a\":NaN}", "expected"),
            ("{\"a\":\"\\ud800\"}", "hex escape"),
            ("{} {}", "trailing"),
            ("", "EOF"),
            (&deep, "nested"),
            (&large, "at most"),
        ];
        for (text, reason) in cases {
            let error = Properties::parse(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{reason:?} not in {error:?}");
        }
    }
}
