"""Cursors: where the next page begins, as text that clients pass back unread. Refuses what was not given out."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from services._kit.errors import ApiError, FieldError

T = TypeVar("T")


def page_json(
    name: str, found: Sequence[T], limit: int, render: Callable[[T], object], place: Callable[[T], str]
) -> dict[str, Any]:
    """A page of up to `limit` of what was found, which is one more where there are more pages."""
    shown = found[:limit]
    more = cursor_of(place(shown[-1])) if len(found) > limit else None
    return {name: list(map(render, shown)), "next_cursor": more}


def cursor_of(last: str) -> str:
    """The cursor behind the entry `last`."""
    return base64.urlsafe_b64encode(last.encode()).decode().rstrip("=")


def behind(cursor: str) -> str:
    """The entry behind which a page begins; empty for the first page. Raises ApiError 422."""
    try:
        last = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        if cursor == cursor_of(last):
            return last
    except (binascii.Error, ValueError):
        pass  # refused below, as one that decodes to something else
    raise refused_parameter("cursor", "must be the `next_cursor` of a page")


def key_behind(cursor: str) -> str:
    """As `behind`, of keys, which hold no U+0000."""
    last = behind(cursor)
    if "\0" in last:
        raise refused_parameter("cursor", "must be the `next_cursor` of a page")
    return last


def refused_parameter(name: str, message: str) -> ApiError:
    """422 for one parameter."""
    fault = FieldError(code="bad_value", path=f"/{name}", message=message)
    return ApiError(422, "invalid_request", "the request is not of the right shape", errors=[fault])
