"""Bad input, generated from a seed: for the service in memory, and for the running platform in tests/integration."""

import base64
import gzip
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from tests.unit.ingest.fakes import KEY

_FIELDS: Final = (
    "type", "event", "name", "messageId", "userId", "anonymousId", "previousId", "groupId", "timestamp",
    "originalTimestamp", "sentAt", "properties", "context", "traits", "integrations", "writeKey",
)  # fmt: skip
_PATHS: Final = ("batch", "import", "b", "track", "t", "identify", "page", "screen", "group", "alias", "m")


@dataclass(frozen=True, slots=True)
class Poison:
    """One request. `events` is how many events it holds where it is answered with 200; None where nobody can say."""

    path: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    events: int | None = None


def poisons(count: int, seed: int) -> Iterator[Poison]:
    """`count` requests. The same seed gives the same ones."""
    rng = random.Random(seed)  # noqa: S311  it need not be secret
    makers = (_bad_batch, _bad_batch, _bad_single, _bad_single, _cut, _noise, _packed, _headers, _large)
    for _ in range(count):
        yield rng.choice(makers)(rng)


def _authorized(**more: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{KEY}:".encode()).decode(), **more}


def _value(rng: random.Random) -> str:
    """A JSON text, or one that only looks like it."""
    depth = rng.choice((1, 50, 99, 101, 1_000, 3_000))
    return rng.choice(
        (
            "null", "true", "0", "-1", "[]", "{}", '""', '" "', '"\\u0000"', '"x"', "1e999", "-1e999", "1e308", "-0.0",
            "NaN", "Infinity", "-Infinity", "9" * rng.choice((18, 19, 20, 308, 309, 400, 5_000)), "0." + "1" * 400,
            '"\\ud800"', '"\\udfff\\ud800"', '"\\ud83d\\ude00"', f'"{"x" * rng.choice((101, 300, 1_025, 33_000))}"',
            '"2026-01-01"', '"2026-99-99T00:00:00Z"', '"0001-01-01T00:00:00+14:00"', '"9999-12-31T23:59:59Z"',
            "1767268800", "[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth, '{"a":1,"a":[2]}',
            '{"__proto__":{"x":1}}', '{"":null}', '{"a.b":{"$gt":""}}', '"\' OR 1=1 --"', '"\\u202e\\ufeff"',
        )
    )  # fmt: skip


def _event(rng: random.Random) -> str:
    if rng.random() < 0.1:
        return _value(rng)
    members = {"type": '"track"', "event": '"E"', "userId": f'"u{rng.randrange(50)}"', "messageId": f'"{rng.random()}"'}
    for name in rng.sample(_FIELDS, rng.randrange(4)):
        members[name] = _value(rng)
    for name in rng.sample(_FIELDS, rng.randrange(2)):
        members.pop(name, None)
    return "{" + ",".join(f"{json.dumps(name)}:{value}" for name, value in members.items()) + "}"


def _bad_batch(rng: random.Random) -> Poison:
    events = [_event(rng) for _ in range(rng.choice((0, 1, 1, 3, 20)))]
    parts = {"batch": "[" + ",".join(events) + "]"}
    for name in rng.sample(("context", "integrations", "sentAt", "writeKey", "x"), rng.choice((0, 0, 1, 2))):
        parts[name] = _value(rng)
    body = "{" + ",".join(f'"{name}": {value}' for name, value in parts.items()) + "}"
    return Poison(f"/v1/{rng.choice(('batch', 'import', 'b'))}", body.encode(), _authorized(), len(events))


def _bad_single(rng: random.Random) -> Poison:
    path = rng.choice([path for path in _PATHS if path not in {"batch", "import", "b", "m"}])
    return Poison(f"/v1/{path}", _event(rng).encode(), _authorized(), 1)


def _cut(rng: random.Random) -> Poison:
    whole = (_bad_batch if rng.random() < 0.5 else _bad_single)(rng)
    body = bytearray(whole.body)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(body) + 1)
        if rng.random() < 0.5:
            del body[at:]
        else:
            body[at:at] = rng.choice(
                (b"\xff", b"\x00", b"{", b"]", b'"', b"\\", b"\xed\xa0\x80", b"\xc0\x80", b"/**/", b",")
            )
    return Poison(whole.path, bytes(body), whole.headers)


def _noise(rng: random.Random) -> Poison:
    return Poison(f"/v1/{rng.choice(_PATHS)}", rng.randbytes(rng.choice((0, 1, 10, 1_000, 50_000))), _authorized())


def _packed(rng: random.Random) -> Poison:
    body = rng.choice((b"\0", b" ", b"[", b'{"batch":[' + b"1," * 10)) * rng.choice((1, 1_000, 4_400_000))
    packed = bytearray(gzip.compress(body[:4_400_000], 1))
    if rng.random() < 0.5:
        packed[rng.randrange(len(packed))] ^= 1 << rng.randrange(8)
    if rng.random() < 0.3:
        del packed[rng.randrange(len(packed)) :]
    coding = rng.choice(("gzip", "gzip", "gzip", "br", "deflate", "gzip, gzip", "nonsense"))
    return Poison("/v1/batch", bytes(packed), _authorized(**{"Content-Encoding": coding}))


def _headers(rng: random.Random) -> Poison:
    headers: dict[str, Any] = rng.choice(
        (
            {},
            {"Authorization": "Basic"},
            {"Authorization": "Basic ===="},
            {"Authorization": "Basic " + base64.b64encode(rng.randbytes(20)).decode()},
            {"Authorization": "Bearer x"},
            {"Authorization": "Basic " + "A" * 6_000},
            _authorized(**{"Request-Id": "x" * 500}),
            _authorized(**{"Content-Encoding": "identity"}),
            _authorized(**{"X-Retry-Count": "-1e9"}),
        )
    )
    return Poison(f"/v1/{rng.choice(_PATHS)}", _event(rng).encode(), headers)


def _large(rng: random.Random) -> Poison:
    if rng.random() < 0.5:
        return Poison(
            "/v1/batch", b'{"batch":[' + b",".join([b"{}"] * rng.choice((2_500, 2_501, 9_000))) + b"]}", _authorized()
        )
    text = '"' + rng.choice(("x", "é", '\\"', "\\u0000", "[")) * rng.choice((100_000, 170_000)) + '"'
    event = f'{{"type":"track","event":"E","userId":"u1","properties":{{"x":{text}}}}}'
    return Poison("/v1/batch", f'{{"batch":[{event}]}}'.encode(), _authorized(), 1)
