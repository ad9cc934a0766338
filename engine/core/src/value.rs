//! JSON values as rules compare them: nothing is coerced, numbers are IEEE doubles, `true` is not `1`.

use std::fmt;

use jiter::{Jiter, Peek};

use crate::pack::{Reader, Writer};

/// A JSON value. Integers beyond 64 bits keep their digits.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Big(Box<str>),
    Float(f64),
    Text(Box<str>),
    List(Vec<Value>),
    Map(Vec<(Box<str>, Value)>),
}

/// What two scalars have in common just when they are the same value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    Bool(bool),
    /// The bits of a double, with one zero.
    Number(u64),
    Text(Box<str>),
}

/// The way to a value through objects.
pub type Path = Box<[Box<str>]>;

/// Text that is no JSON, or not the JSON that was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(pub String);

impl fmt::Display for Malformed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Malformed {}

impl From<jiter::JiterError> for Malformed {
    fn from(error: jiter::JiterError) -> Self {
        Malformed(error.to_string())
    }
}

impl Value {
    pub fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    /// Reads a whole text.
    pub fn parse(data: &[u8]) -> Result<Value, Malformed> {
        let mut jiter = Jiter::new(data);
        let peek = jiter.peek()?;
        let value = Value::read(&mut jiter, peek)?;
        jiter.finish()?;
        Ok(value)
    }

    /// Reads the value that stands next.
    pub fn read(jiter: &mut Jiter<'_>, peek: Peek) -> Result<Value, Malformed> {
        match peek {
            Peek::Null => {
                jiter.known_null()?;
                Ok(Value::Null)
            }
            Peek::True | Peek::False => Ok(Value::Bool(jiter.known_bool(peek)?)),
            Peek::String => Ok(Value::text(jiter.known_str()?)),
            Peek::Array => {
                let mut items = Vec::new();
                let mut next = jiter.known_array()?;
                while let Some(peek) = next {
                    items.push(Value::read(jiter, peek)?);
                    next = jiter.array_step()?;
                }
                Ok(Value::List(items))
            }
            Peek::Object => {
                let mut fields: Vec<(Box<str>, Value)> = Vec::new();
                let mut next = jiter.known_object()?.map(Box::<str>::from);
                while let Some(name) = next {
                    let peek = jiter.peek()?;
                    fields.push((name, Value::read(jiter, peek)?));
                    next = jiter.next_key()?.map(Box::<str>::from);
                }
                Ok(Value::Map(last_of_each(fields)))
            }
            _ if peek.is_num() => number(jiter.known_number_bytes(peek)?),
            _ => Err(Malformed("no JSON value".into())),
        }
    }

    /// The value as a double; None for what is no number.
    pub fn number(&self) -> Option<f64> {
        match self {
            Value::Int(number) => Some(*number as f64),
            Value::Float(number) => Some(*number),
            Value::Big(digits) => digits.parse().ok(),
            _ => None,
        }
    }

    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The key of a scalar; None for lists, objects and null.
    pub fn key(&self) -> Option<Key> {
        match self {
            Value::Text(text) => Some(Key::Text(text.clone())),
            Value::Bool(value) => Some(Key::Bool(*value)),
            _ => self.number().map(Key::of_number),
        }
    }

    /// A field of an object.
    pub fn get(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Map(fields) => fields.iter().find(|(known, _)| &**known == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// What a path leads to; None where it leads nowhere or to null, which are the same to a rule.
    pub fn walk(&self, path: &[Box<str>]) -> Option<&Value> {
        let found = path.iter().try_fold(self, |value, part| value.get(part))?;
        found.some()
    }

    /// The value, or None where it is null.
    pub fn some(&self) -> Option<&Value> {
        match self {
            Value::Null => None,
            _ => Some(self),
        }
    }

    /// Deep equality.
    pub fn same(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(left), Value::Bool(right)) => left == right,
            (Value::Text(left), Value::Text(right)) => left == right,
            (Value::List(left), Value::List(right)) => {
                left.len() == right.len() && left.iter().zip(right).all(|(one, two)| one.same(two))
            }
            (Value::Map(left), Value::Map(right)) => {
                left.len() == right.len()
                    && left.iter().all(|(name, value)| other.get(name).is_some_and(|two| value.same(two)))
            }
            _ => matches!((self.number(), other.number()), (Some(left), Some(right)) if left == right),
        }
    }

    pub fn pack(&self, into: &mut Writer) {
        match self {
            Value::Null => into.byte(0),
            Value::Bool(false) => into.byte(1),
            Value::Bool(true) => into.byte(2),
            Value::Int(number) => {
                into.byte(3);
                into.signed(*number);
            }
            Value::Big(digits) => {
                into.byte(4);
                into.text(digits);
            }
            Value::Float(number) => {
                into.byte(5);
                into.double(*number);
            }
            Value::Text(text) => {
                into.byte(6);
                into.text(text);
            }
            Value::List(items) => {
                into.byte(7);
                into.length(items.len());
                for item in items {
                    item.pack(into);
                }
            }
            Value::Map(fields) => {
                into.byte(8);
                into.length(fields.len());
                for (name, value) in fields {
                    into.text(name);
                    value.pack(into);
                }
            }
        }
    }

    pub fn unpack(from: &mut Reader<'_>) -> Value {
        match from.byte() {
            0 => Value::Null,
            1 => Value::Bool(false),
            2 => Value::Bool(true),
            3 => Value::Int(from.signed()),
            4 => Value::Big(from.text().into()),
            5 => Value::Float(from.double()),
            6 => Value::text(from.text()),
            7 => Value::List((0..from.length()).map(|_| Value::unpack(from)).collect()),
            8 => Value::Map((0..from.length()).map(|_| (from.text().into(), Value::unpack(from))).collect()),
            other => panic!("a packed value has the tag {other}"),
        }
    }
}

/// Whether two values, of which either may be missing, are the same.
pub fn alike(one: Option<&Value>, other: Option<&Value>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => one.same(other),
        _ => false,
    }
}

impl Key {
    pub fn of_number(number: f64) -> Key {
        Key::Number((number + 0.0).to_bits())
    }

    /// The JSON value that it stands for; whole numbers as integers.
    pub fn shown(&self) -> Value {
        match self {
            Key::Bool(value) => Value::Bool(*value),
            Key::Number(bits) => crate::decimals::json_number(f64::from_bits(*bits)),
            Key::Text(text) => Value::Text(text.clone()),
        }
    }

    /// The order of `unique_list`: booleans, then numbers, then texts, each in its own.
    pub fn in_order(&self, other: &Key) -> std::cmp::Ordering {
        match (self, other) {
            (Key::Number(one), Key::Number(two)) => f64::from_bits(*one).total_cmp(&f64::from_bits(*two)),
            _ => self.cmp(other),
        }
    }

    pub fn pack(&self, into: &mut Writer) {
        match self {
            Key::Bool(value) => into.byte(u8::from(*value)),
            Key::Number(bits) => {
                into.byte(2);
                into.fixed(*bits);
            }
            Key::Text(text) => {
                into.byte(3);
                into.text(text);
            }
        }
    }

    pub fn unpack(from: &mut Reader<'_>) -> Key {
        match from.byte() {
            0 => Key::Bool(false),
            1 => Key::Bool(true),
            2 => Key::Number(from.fixed()),
            3 => Key::Text(from.text().into()),
            other => panic!("a packed key has the tag {other}"),
        }
    }
}

fn number(digits: &[u8]) -> Result<Value, Malformed> {
    let text = std::str::from_utf8(digits).map_err(|error| Malformed(error.to_string()))?;
    if let Ok(number) = text.parse::<i64>() {
        return Ok(Value::Int(number));
    }
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
        return Ok(Value::Big(text.into()));
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Value::Float(number)),
        _ => Err(Malformed(format!("{text} is out of range"))),
    }
}

/// A name that stands twice has the value that was said last.
fn last_of_each(fields: Vec<(Box<str>, Value)>) -> Vec<(Box<str>, Value)> {
    let doubled = if fields.len() <= 16 {
        fields.iter().enumerate().any(|(index, (name, _))| fields[..index].iter().any(|(known, _)| known == name))
    } else {
        let names: std::collections::HashSet<&str> = fields.iter().map(|(name, _)| &**name).collect();
        names.len() < fields.len()
    };
    if !doubled {
        return fields;
    }
    let mut places: std::collections::HashMap<Box<str>, usize> = std::collections::HashMap::new();
    let mut kept: Vec<(Box<str>, Value)> = Vec::new();
    for (name, value) in fields {
        match places.get(&name) {
            Some(&place) => kept[place].1 = value,
            None => {
                places.insert(name.clone(), kept.len());
                kept.push((name, value));
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Value {
        Value::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn values_are_compared_deeply_and_nothing_is_coerced() {
        let alike = [
            ("5", "5.0"),
            ("-0.0", "0"),
            ("[1,[2.0]]", "[1.0,[2]]"),
            (r#"{"a":{"b":1},"c":2}"#, r#"{"c":2,"a":{"b":1.0}}"#),
        ];
        for (one, other) in alike {
            assert!(parsed(one).same(&parsed(other)), "{one} {other}");
        }
        let unlike = [
            ("5", "\"5\""),
            ("1", "true"),
            ("0", "false"),
            ("[1]", "[1,2]"),
            ("[1]", "1"),
            (r#"{"a":1}"#, r#"{"b":1}"#),
            (r#"{"a":1}"#, "{}"),
            ("0", "null"),
            ("[1,2]", "[2,1]"),
            ("\"a\"", "\"A\""),
            ("[]", "{}"),
            ("[true]", "[1]"),
        ];
        for (one, other) in unlike {
            assert!(!parsed(one).same(&parsed(other)) && !parsed(other).same(&parsed(one)), "{one} {other}");
        }
    }

    #[test]
    fn scalars_have_keys_that_tell_them_apart() {
        let keys: std::collections::HashSet<Key> =
            ["\"1\"", "1", "true", "0", "false", "\"\"", "1.5"].iter().filter_map(|text| parsed(text).key()).collect();
        assert_eq!(keys.len(), 7);
        assert_eq!(parsed("1").key(), parsed("1.0").key());
        assert_eq!(parsed("0").key(), parsed("-0.0").key());
        assert!(["null", "[]", "{}"].iter().all(|text| parsed(text).key().is_none()));
    }

    #[test]
    fn every_value_is_packed_and_comes_back() {
        let text = r#"{"a":[null,true,false,-7,1e300,"\u00e9",12345678901234567890123],"b":{"c":{}},"a2":0.1}"#;
        let mut writer = Writer::new();
        parsed(text).pack(&mut writer);
        let mut reader = Reader::new(&writer.data);
        assert_eq!(Value::unpack(&mut reader), parsed(text));
        assert_eq!(reader.at, writer.data.len());
    }

    #[test]
    fn of_a_name_said_twice_the_last_counts() {
        assert_eq!(parsed(r#"{"a":1,"b":2,"a":3}"#), parsed(r#"{"a":3,"b":2}"#));
        let many: Vec<String> = (0..40).map(|number| format!(r#""k{}":{number}"#, number % 20)).collect();
        let found = parsed(&format!("{{{}}}", many.join(",")));
        assert_eq!(found.get("k3"), Some(&Value::Int(23)));
        assert!(matches!(found, Value::Map(fields) if fields.len() == 20));
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for broken in ["", "nul", "[1,]", "{\"a\"}", "1e400", "NaN", "\"\\ud800\"", "1 2"] {
            assert!(Value::parse(broken.as_bytes()).is_err(), "{broken}");
        }
    }
}
