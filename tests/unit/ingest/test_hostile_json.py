"""JSON at the edge: what no double holds, half characters, depth, repeated keys; and the batch's own parts."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest import salvage
from services.ingest.diagnose import NotJson, depth_within, holds_long_number
from tests.unit.ingest.fakes import Service

GOOD = b'{"type":"track","event":"E","userId":"u1","messageId":"good"}'


def event_with(properties: str) -> bytes:
    return f'{{"type":"track","event":"E","userId":"u2","properties":{properties}}}'.encode()


def nested(depth: int, opening: str = "[", closing: str = "]") -> str:
    return opening * depth + closing * depth


BAD: list[tuple[str, str, str]] = [
    ('{"x": 1e999}', "not_finite", "/properties/x"),
    ('{"x": -1e999}', "not_finite", "/properties/x"),
    ('{"a": [0, {"b/c~d": 1e400}]}', "not_finite", "/properties/a/1/b~1c~0d"),
    ('{"x": NaN}', "not_finite", "/properties/x"),
    ('{"x": [Infinity]}', "not_finite", "/properties/x/0"),
    ('{"x": -Infinity}', "not_finite", "/properties/x"),
    ('{"x": ' + "9" * 309 + "}", "not_finite", "/properties/x"),
    ('{"x": -' + "9" * 309 + "}", "not_finite", "/properties/x"),
    ('{"x": ' + "9" * 20_000 + "}", "not_finite", "/properties/x"),
    ('{"x": "\\ud800"}', "bad_text", "/properties/x"),
    ('{"x": "a\\udc00b"}', "bad_text", "/properties/x"),
    ('{"x": "\\ud800\\ud800"}', "bad_text", "/properties/x"),
    ('{"x": {"\\ud800": 1}}', "bad_text", "/properties/x"),
    (f'{{"x": {nested(99)}}}', "too_deep", ""),
    (f'{{"x": {nested(1_000)}}}', "too_deep", ""),
    (f'{{"x": {nested(5_000)}}}', "too_deep", ""),
    (nested(1_000, '{"a":', "}").replace(":}", ":1}", 1), "too_deep", ""),
    ("[]", "wrong_type", "/properties"),
    ('"x"', "wrong_type", "/properties"),
    ("0", "wrong_type", "/properties"),
    ("false", "wrong_type", "/properties"),
]


@pytest.mark.parametrize(("properties", "code", "path"), BAD)
async def test_such_an_event_is_bad_and_its_neighbours_are_not(
    service: Service, properties: str, code: str, path: str
) -> None:
    bad = event_with(properties)
    answer = await service.post("/v1/batch", b'{"batch": [' + GOOD + b", " + bad + b" ," + GOOD + b"]}")
    assert answer.json() == {"success": True}
    assert [event.message_id for event in service.log.events] == ["good", "good"]
    assert [(told.code, told.path, told.original) for told in service.log.bad] == [(code, path, bad)]


@pytest.mark.parametrize(("properties", "code", "path"), BAD)
@pytest.mark.parametrize("key_in_body", [False, True])
async def test_such_a_single_call_is_bad(
    service: Service, properties: str, code: str, path: str, *, key_in_body: bool
) -> None:
    bad = event_with(properties)
    if key_in_body:
        bad = bad[:-1] + b', "writeKey": "demo-write-key"}'
    answer = await service.post("/v1/track", bad, key=None if key_in_body else "demo-write-key")
    assert answer.json() == {"success": True}
    assert [(told.code, told.path, told.original) for told in service.log.bad] == [(code, path, bad)]


@pytest.mark.parametrize(
    ("properties", "kept"),
    [
        ('{"x": 1.7976931348623157e308}', {"x": 1.7976931348623157e308}),
        ('{"x": 1e-999}', {"x": 0.0}),
        ('{"x": ' + "1" * 308 + "}", {"x": int("1" * 308)}),
        ('{"x": ' + "1" * 309 + "}", {"x": int("1" * 309)}),  # a double holds 1.1e308
        ('{"x": "' + "9" * 400 + '"}', {"x": "9" * 400}),
        ('{"x": "\\u0000"}', {"x": "\0"}),  # kept; the stores' adapters know what theirs can hold
        ('{"x": "\\ud83d\\ude00"}', {"x": "😀"}),
        ('{"x": 1, "x": 2}', {"x": 2}),  # the last of two
        ('{"": {"": []}}', {"": {"": []}}),
        (f'{{"x": {nested(98)}}}', {"x": json.loads(nested(98))}),
        ('{"x": "' + "[" * 500 + '\\"]{"}', {"x": "[" * 500 + '"]{'}),  # brackets in text are no depth
        ("{}", {}),
        ("null", {}),
    ],
)
async def test_such_an_event_is_accepted(service: Service, properties: str, kept: Any) -> None:
    await service.post("/v1/track", event_with(properties))
    await service.post("/v1/batch", b'{"batch":[' + event_with(properties) + b"]}")
    assert service.log.bad == []
    assert [event.properties for event in service.log.events] == [kept, kept]


@pytest.mark.parametrize("event", [b"5", b"null", b'"x"', b"[]", b"true", b"[[]]"])
async def test_an_event_that_is_no_object(service: Service, event: bytes) -> None:
    await service.post("/v1/batch", b'{"batch":[' + event + b"]}")
    assert [(told.code, told.path, told.original) for told in service.log.bad] == [("wrong_type", "", event)]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(
            (field, value)
            for field in ("properties", "context", "traits", "integrations")
            for value in ("[]", '"x"', "1")
        ),
        *(
            (field, value)
            for field in ("userId", "anonymousId", "groupId", "messageId")
            for value in ("true", "[]", "{}")
        ),
        *((field, value) for field in ("timestamp", "originalTimestamp", "sentAt") for value in ("1767268800", "{}")),
        *((field, "7") for field in ("type", "event", "name")),
    ],
)
async def test_values_of_a_wrong_type(service: Service, field: str, value: str) -> None:
    body = json.dumps({"type": "page", "userId": "u1", field: "?"}).replace('"?"', value).encode()
    await service.post("/v1/batch", b'{"batch":[' + body + b"]}")
    assert [(told.code, told.path) for told in service.log.bad] == [("wrong_type", f"/{field}")]
    assert service.log.events == []


@pytest.mark.parametrize(
    "field",
    ["anonymousId", "previousId", "groupId", "messageId", "timestamp", "originalTimestamp", "sentAt", "name",
     "properties", "context", "traits", "integrations"],
)  # fmt: skip
async def test_null_is_as_good_as_missing(service: Service, field: str) -> None:
    await service.post("/v1/batch", {"batch": [{"type": "page", "userId": "u1", field: None}], field: None})
    assert len(service.log.events) == 1


async def test_a_batchs_parts_reach_its_events(service: Service) -> None:
    body = {
        "batch": [json.loads(GOOD) | {"context": {"own": 1, "both": None}}, json.loads(GOOD)],
        "context": {"both": 2, "ip": "1.2.3.4"},
        "integrations": {"All": False},
        "sentAt": "2026-01-01T00:00:00Z",
    }
    await service.post("/v1/batch", body)
    first, second = service.log.events
    assert first.context == {"both": None, "ip": "1.2.3.4", "own": 1}
    assert second.context == {"both": 2, "ip": "1.2.3.4"}
    assert first.integrations == second.integrations == {"All": False}
    assert first.sent_at == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("parts", "code", "path"),
    [
        ('"context": []', "wrong_type", "/context"),
        ('"context": "x"', "wrong_type", "/context"),
        ('"integrations": 5', "wrong_type", "/integrations"),
        ('"sentAt": 5', "wrong_type", "/sentAt"),
        ('"sentAt": "soon"', "bad_timestamp", "/sentAt"),
        ('"context": {"a": 1e999}', "not_finite", "/context/a"),
        ('"context": {"a": NaN}', "not_finite", "/context/a"),
        ('"context": {"a": "\\ud800"}', "bad_text", "/context/a"),
        ('"context": {"a": ' + "9" * 400 + "}", "not_finite", "/context/a"),
        (f'"context": {{"a": {nested(200)}}}', "too_deep", "/context"),
        (f'"context": {{"a": {nested(2000)}}}', "too_deep", "/context"),
        ('"context": {"a": "' + "x" * 40_000 + '"}', "too_large", "/context"),
    ],
)
async def test_a_batchs_bad_part_makes_its_events_bad(service: Service, parts: str, code: str, path: str) -> None:
    answer = await service.post("/v1/batch", b'{"batch": [' + GOOD + b"," + GOOD + b"], " + parts.encode() + b"}")
    assert answer.json() == {"success": True}
    assert [(told.code, told.path, told.original) for told in service.log.bad] == [(code, path, GOOD)] * 2


def elements(text: bytes, at_most: int = 9) -> list[bytes] | None:
    return salvage.cut(b'{"list": ' + text + b"}", "list", at_most).elements


def test_pieces_keep_their_bytes() -> None:
    body = '{ "a" : [1 , {"b":"]}"} ,NaN] ,"ü":"\\ud800", "a":[ ] , "n":{} }'.encode()
    assert salvage.cut(body).members == {"a": b"[ ]", "ü": b'"\\ud800"', "n": b"{}"}
    assert elements('[1 , {"b":"]}"} ,NaN,"ü"]'.encode()) == [b"1", b'{"b":"]}"}', b"NaN", '"ü"'.encode()]
    assert elements(b"[ ]") == []
    assert salvage.cut(b" {} ").members == {}


def test_of_too_many_elements_only_so_many_are_cut_out() -> None:
    assert elements(b'[1,[2],"]",4,{"5":[]},6]', 2) == [b"1", b"[2]", b'"]"']
    assert elements(b"[" + b"1," * 1_000_000 + b"1]", 2) == [b"1"] * 3


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"a"}', b'{"a":}', b'{"a":1,}', b"{1:2}", b'{"a":1}x', b"[]", b'{"a":"', b"{,}", b'{"a":"\xff"}'],
)
def test_what_is_no_object(body: bytes) -> None:
    with pytest.raises(NotJson):
        salvage.cut(body)


def test_a_bomb_of_brackets_is_given_up_early() -> None:
    with pytest.raises(NotJson, match="nested too deep"):
        salvage.cut(b'{"a":' + b"[" * 4_000_000)
    with pytest.raises(NotJson, match="nested too deep"):
        elements(b"[" + b",".join([b"[" * 2_000 + b"]" * 2_000] * 500) + b"]", 999)


def test_a_bomb_of_members_is_given_up_early() -> None:
    with pytest.raises(NotJson, match="members"):
        salvage.cut(b"{" + b",".join(b'"%d":1' % number for number in range(300_000)) + b"}")


def test_an_unterminated_text_is_found_in_one_pass() -> None:
    with pytest.raises(NotJson):
        salvage.cut(b'{"a":' + b"[" * 2_000 + b'"' + b'\\"' * 1_000_000)


async def test_a_batch_of_very_many_values(service: Service) -> None:
    few = b'{"batch": [' + b",".join([GOOD[:-1] + b', "properties": {"x": [' + b"1," * 14_000 + b"1]}}"] * 20) + b"]}"
    assert (await service.post("/v1/batch", few)).status_code == 200
    assert len(service.log.events) == 20
    for more in (b'{"batch": [' + b"1," * 300_000 + b"1]}", b'{"batch": [NaN' + b",1" * 300_000 + b"]}"):
        answer = await service.post("/v1/batch", more)
        assert (answer.status_code, answer.json()["code"]) == (413, "too_many_events")
        keyed = more[:-1] + b', "writeKey": "nope"}'
        assert (await service.post("/v1/batch", keyed, key=None)).status_code == 401


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda leaf: st.lists(leaf, max_size=3) | st.dictionaries(st.text(max_size=3), leaf, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=60)
@given(st.lists(json_values, max_size=4), st.sampled_from([None, 1]))
def test_taking_apart_agrees_with_parsing(values: list[Any], indent: int | None) -> None:
    text = json.dumps(values, indent=indent).encode()
    assert [json.loads(each) for each in elements(text) or []] == values
    members = {str(index): value for index, value in enumerate(values)}
    found = salvage.cut(json.dumps(members, indent=indent).encode()).members
    assert {key: json.loads(each) for key, each in found.items()} == members


def depth_of(value: Any) -> int:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if children is None else 1 + max(map(depth_of, children), default=0)


@settings(deadline=None, max_examples=60)
@given(json_values, st.integers(1, 4))
def test_depth(value: Any, limit: int) -> None:
    assert depth_within(json.dumps(value).encode(), limit) == (depth_of(value) <= limit)


def test_long_numbers() -> None:
    assert holds_long_number(b"[" + b"7" * 309 + b"]")
    assert not holds_long_number(b"[" + b"7" * 308 + b"." + b"7" * 308 + b"]")
