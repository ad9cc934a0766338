//! An accepted event, as it lies in the log (`event/1`).

use std::sync::OnceLock;

use jiter::Jiter;

use crate::predicates::Source;
use crate::value::{Malformed, Path, Value};

/// The `schema` of the records that are events.
pub const SCHEMA: &str = "event/1";

/// One event of one profile. Times are Unix milliseconds in UTC.
pub struct Event {
    pub workspace: Box<str>,
    pub profile_id: Box<str>,
    pub source: Box<str>,
    pub message_id: Box<str>,
    pub kind: Box<str>,
    /// The track event's name, or the page's or screen's; empty where there is none.
    pub name: Box<str>,
    pub time_ms: i64,
    pub received_ms: i64,
    /// Where it lies in the log, among all events of its profile; None where nobody has said.
    pub offset: Option<i64>,
    pub properties: Value,
    pub traits: Value,
    context: Box<[u8]>,
    read_context: OnceLock<Value>,
}

impl Event {
    /// An event of which nothing is said yet.
    pub fn blank() -> Event {
        Event {
            workspace: "".into(),
            profile_id: "".into(),
            source: "".into(),
            message_id: "".into(),
            kind: "".into(),
            name: "".into(),
            time_ms: i64::MIN,
            received_ms: i64::MIN,
            offset: None,
            properties: Value::Null,
            traits: Value::Null,
            context: Box::default(),
            read_context: OnceLock::new(),
        }
    }

    /// Reads a record as the host was given it: its offset and a space may stand before it. None as for `parse`.
    pub fn parse_logged(data: &[u8]) -> Result<Option<Event>, Malformed> {
        let digits = data.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 || data.get(digits) != Some(&b' ') {
            return Event::parse(data);
        }
        let text = std::str::from_utf8(&data[..digits]).expect("digits are text");
        let offset = text.parse().map_err(|_| Malformed(format!("{text} is no offset")))?;
        Ok(Event::parse(&data[digits + 1..])?.map(|event| Event { offset: Some(offset), ..event }))
    }

    /// Reads a record; None where it is of another kind.
    pub fn parse(data: &[u8]) -> Result<Option<Event>, Malformed> {
        let mut event = Event::blank();
        let mut jiter = Jiter::new(data);
        let mut is_event = false;
        let mut next = field_of(jiter.next_object()?);
        while let Some(field) = next {
            match field {
                Field::Schema => {
                    if jiter.next_str()? != SCHEMA {
                        return Ok(None);
                    }
                    is_event = true;
                }
                Field::Workspace => event.workspace = jiter.next_str()?.into(),
                Field::ProfileId => event.profile_id = jiter.next_str()?.into(),
                Field::Source => event.source = jiter.next_str()?.into(),
                Field::MessageId => event.message_id = jiter.next_str()?.into(),
                Field::Type => event.kind = jiter.next_str()?.into(),
                Field::Name => event.name = jiter.next_str()?.into(),
                Field::TimeMs => event.time_ms = whole(&mut jiter)?,
                Field::ReceivedMs => event.received_ms = whole(&mut jiter)?,
                Field::Properties => event.properties = read(&mut jiter)?,
                Field::Traits => event.traits = read(&mut jiter)?,
                Field::Context => {
                    let peek = jiter.peek()?;
                    let start = jiter.current_index();
                    jiter.known_skip(peek)?;
                    event.context = jiter.slice_to_current(start).into();
                }
                Field::Other => jiter.next_skip()?,
            }
            next = field_of(jiter.next_key()?);
        }
        jiter.finish()?;
        if !is_event {
            return Ok(None);
        }
        let missing = [
            ("workspace", event.workspace.is_empty()),
            ("profile_id", event.profile_id.is_empty()),
            ("message_id", event.message_id.is_empty()),
            ("type", event.kind.is_empty()),
            ("time_ms", event.time_ms == i64::MIN),
            ("received_ms", event.received_ms == i64::MIN),
        ];
        match missing.iter().find(|(_, missing)| *missing) {
            Some((name, _)) => Err(Malformed(format!("the event has no {name}"))),
            None => Ok(Some(event)),
        }
    }

    /// For an event that was decoded elsewhere.
    pub fn set_context(&mut self, context: Value) {
        self.context = Box::default();
        self.read_context = OnceLock::from(context);
    }

    pub fn context(&self) -> &Value {
        self.read_context.get_or_init(|| {
            if self.context.is_empty() {
                return Value::Null;
            }
            Value::parse(&self.context).expect("the context was read over without an error")
        })
    }

    /// What a path leads to.
    pub fn find(&self, of: Source, path: &Path) -> Option<&Value> {
        match of {
            Source::Property => self.properties.walk(path),
            Source::Context => self.context().walk(path),
            Source::Trait => None,
        }
    }
}

enum Field {
    Schema,
    Workspace,
    ProfileId,
    Source,
    MessageId,
    Type,
    Name,
    TimeMs,
    ReceivedMs,
    Properties,
    Traits,
    Context,
    Other,
}

fn field_of(name: Option<&str>) -> Option<Field> {
    Some(match name? {
        "schema" => Field::Schema,
        "workspace" => Field::Workspace,
        "profile_id" => Field::ProfileId,
        "source" => Field::Source,
        "message_id" => Field::MessageId,
        "type" => Field::Type,
        "name" => Field::Name,
        "time_ms" => Field::TimeMs,
        "received_ms" => Field::ReceivedMs,
        "properties" => Field::Properties,
        "traits" => Field::Traits,
        "context" => Field::Context,
        _ => Field::Other,
    })
}

fn read(jiter: &mut Jiter<'_>) -> Result<Value, Malformed> {
    let peek = jiter.peek()?;
    Value::read(jiter, peek)
}

fn whole(jiter: &mut Jiter<'_>) -> Result<i64, Malformed> {
    match read(jiter)? {
        Value::Int(number) => Ok(number),
        other => Err(Malformed(format!("{other:?} is no time"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = r#"{"schema":"event/1","workspace":"w","source":"s","profile_id":"p","message_id":"m",
        "type":"track","time_ms":1,"received_ms":2,"name":"A","properties":{"a":{"b":[1,2.5,null]},"a":{"b":7}},
        "context":{"ip":"10.0.0.1"},"integrations":{"All":true},"sent_at":null}"#;

    #[test]
    fn a_record_is_read() {
        let event = Event::parse(RECORD.as_bytes()).unwrap().unwrap();
        assert_eq!((&*event.kind, &*event.name, event.time_ms, event.received_ms), ("track", "A", 1, 2));
        assert_eq!(event.find(Source::Property, &["a".into(), "b".into()].into()), Some(&Value::Int(7)));
        assert_eq!(event.find(Source::Context, &["ip".into()].into()), Some(&Value::text("10.0.0.1")));
        assert_eq!(event.find(Source::Property, &["c".into()].into()), None);
    }

    #[test]
    fn an_offset_may_stand_before_a_record() {
        let event = Event::parse_logged(format!("4711 {RECORD}").as_bytes()).unwrap().unwrap();
        assert_eq!((event.offset, &*event.message_id), (Some(4711), "m"));
        assert_eq!(Event::parse_logged(RECORD.as_bytes()).unwrap().unwrap().offset, None);
        assert!(Event::parse_logged(br#"5 {"schema":"command.explain/1"}"#).unwrap().is_none());
        for broken in ["5", "5 ", "5{}", "99999999999999999999 {}"] {
            assert!(Event::parse_logged(broken.as_bytes()).is_err(), "{broken}");
        }
    }

    #[test]
    fn other_records_are_no_events() {
        assert!(Event::parse(br#"{"schema":"command.explain/1"}"#).unwrap().is_none());
        assert!(Event::parse(b"{}").unwrap().is_none());
    }

    #[test]
    fn a_broken_record_is_an_error() {
        for broken in
            ["", "{", "[]", r#"{"schema":"event/1"}"#, &RECORD.replace("\"ip\":", "\"ip\""), &format!("{RECORD}x")]
        {
            assert!(Event::parse(broken.as_bytes()).is_err(), "{broken}");
        }
        assert!(Event::parse(RECORD.replace("\"time_ms\":1", "\"time_ms\":\"1\"").as_bytes()).is_err());
    }
}
