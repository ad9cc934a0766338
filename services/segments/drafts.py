"""From a request's body to a segment that can be saved, or to all that is wrong with it.

Refuses a body that is no JSON object (400), too large (413), and every key, type and value that the contract does not
name (422 `invalid_request`, an error for each with its JSON pointer into the body). The rule is judged apart.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast, get_args

import msgspec
from starlette.requests import Request

from audience.ports.catalog import SegmentStatus
from services._kit.errors import ApiError, FieldError

MAX_BODY_BYTES: Final = 1 << 20
MAX_NAME: Final = 200
MAX_DESCRIPTION: Final = 4_000
MAX_TAGS: Final = 50
MAX_TAG: Final = 100

_KEY: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_FIELDS: Final = ("key", "name", "description", "rule", "tags", "status")
_STATUSES: Final = get_args(SegmentStatus)
_decode: Final = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class Fields:
    """A segment's fields, each of the right shape; the rule is any JSON object still."""

    key: str
    name: str
    description: str
    rule: Mapping[str, Any]
    tags: tuple[str, ...]
    status: SegmentStatus


async def read_json(request: Request) -> object:
    """The request's body, decoded. Raises ApiError 400 or 413."""
    return read_object(await read_body(request))


async def read_body(request: Request, most_bytes: int = MAX_BODY_BYTES) -> bytes:
    """The request's body. Raises ApiError 413."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most_bytes:
            raise ApiError(413, "too_large", f"a body may have {most_bytes} bytes")
    return bytes(body)


def read_object(body: bytes) -> object:
    """A body, decoded. Raises ApiError 400."""
    try:
        return _decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ApiError(400, "invalid_json", f"the body is not JSON: {error}") from error


def read_fields(body: object, key: str | None = None) -> Fields:
    """The fields of a new segment, or of the one at `key`, whose key may then be left out. Raises ApiError."""
    if not isinstance(body, dict):
        raise _refused([FieldError(code="wrong_type", path="", message="a segment is an object")])
    faults: list[FieldError] = [
        FieldError(code="unknown_key", path=f"/{escaped(name)}", message="a segment has no such key")
        for name in body
        if name not in _FIELDS
    ]

    def check(name: str, default: Any, fault_of: Callable[[Any], FieldError | None]) -> Any:
        if name not in body:
            if default is None:
                faults.append(FieldError(code="missing_key", path="", message=f"{name!r} is missing"))
            return default
        fault = fault_of(body[name])
        if fault is not None:
            faults.append(FieldError(code=fault["code"], path=f"/{name}{fault['path']}", message=fault["message"]))
        return body[name]

    found_key = check("key", key, lambda value: _key_fault(value, key))
    name = check("name", found_key if isinstance(found_key, str) else "", lambda value: text_fault(value, MAX_NAME))
    description = check("description", "", lambda value: text_fault(value, MAX_DESCRIPTION))
    rule = check("rule", None, _rule_fault)
    tags = check("tags", [], _tags_fault)
    status = check("status", "draft", _status_fault)
    if faults:
        raise _refused(faults)
    return Fields(found_key, name, description, rule, tuple(tags), cast("SegmentStatus", status))


def _refused(faults: list[FieldError]) -> ApiError:
    return ApiError(422, "invalid_request", "the segment is not of the right shape", errors=faults)


def _fault(code: str, message: str, path: str = "") -> FieldError:
    return FieldError(code=code, path=path, message=message)


def _key_fault(value: object, expected: str | None) -> FieldError | None:
    if not isinstance(value, str):
        return _fault("wrong_type", "must be a string")
    if not _KEY.fullmatch(value):
        return _fault("bad_value", "must be 1 to 63 of a-z, 0-9 and -, the first no -")
    if expected is not None and value != expected:
        return _fault("bad_value", "must be the key in the path, or be left out")
    return None


def text_fault(value: object, most: int) -> FieldError | None:
    """What is wrong with a text of at most `most` characters."""
    if not isinstance(value, str):
        return _fault("wrong_type", "must be a string")
    if len(value) > most:
        return _fault("limit_exceeded", f"may have {most} characters")
    if "\0" in value:
        return _fault("bad_value", "may not hold the character U+0000")
    return None


def _rule_fault(value: object) -> FieldError | None:
    return None if isinstance(value, dict) else _fault("wrong_type", "must be an object")


def _status_fault(value: object) -> FieldError | None:
    if not isinstance(value, str):
        return _fault("wrong_type", "must be a string")
    return None if value in _STATUSES else _fault("bad_value", f"must be one of {', '.join(_STATUSES)}")


def _tags_fault(value: object) -> FieldError | None:
    if not isinstance(value, list):
        return _fault("wrong_type", "must be a list of strings")
    if len(value) > MAX_TAGS:
        return _fault("limit_exceeded", f"may have {MAX_TAGS} tags")
    for index, tag in enumerate(value):
        fault = text_fault(tag, MAX_TAG)
        if fault is None and not tag:
            fault = _fault("empty", "may not be empty")
        if fault is None and tag in value[:index]:
            fault = _fault("bad_value", "is there twice")
        if fault is not None:
            return _fault(fault["code"], fault["message"], f"/{index}")
    return None


def escaped(name: str) -> str:
    """A key as a part of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")
