"""``Idempotency-Key`` on POST: a request that is sent again is answered as it was the first time, and not done again.

The answer is kept for a day, success or refusal alike; what went wrong on our side (5xx) is not, so that a client may
try again. Refuses (422) a key that came with another request, and (409) one whose first request is still under way.
"""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Annotated, Final

from fastapi import Header, Request
from starlette.responses import Response

from audience.ports.catalog import KeptAnswer, KeyInUse, KeyTaken
from services._kit.errors import ApiError, error_response
from services._kit.request_id import request_id_of
from services.segments.work import work_of, workspace_of

LONGEST: Final = 200
KEPT_MS: Final = 24 * 60 * 60 * 1_000
_HEADERS: Final = ("content-type", "etag", "location")

IdempotencyKey = Annotated[
    str | None,
    Header(max_length=LONGEST, description="Any text of your own; the same request with it is done once, for a day."),
]


async def once(request: Request, key: str | None, body: bytes, answer: Callable[[], Awaitable[Response]]) -> Response:
    """The answer to a request, or the one that it had before. Raises ApiError."""
    if key is None:
        return await answer()
    work, workspace = work_of(request), workspace_of(request)
    fingerprint = hashlib.sha256(f"{request.method} {request.url.path}\n".encode() + body).digest()
    try:
        kept = await work.idempotency.claim(workspace, key, fingerprint, work.now_ms())
    except KeyTaken as error:
        raise ApiError(422, "idempotency_mismatch", "another request had this Idempotency-Key") from error
    except KeyInUse as error:
        raise ApiError(
            409, "idempotency_in_progress", "this request is being answered", headers={"Retry-After": "1"}
        ) from error
    if kept is not None:
        return Response(kept.body, kept.status, {**kept.headers, "Idempotency-Replayed": "true"})
    try:
        given = await _answer(request, answer)
    except BaseException:
        await work.idempotency.release(workspace, key)
        raise
    headers = {name: value for name in _HEADERS if (value := given.headers.get(name)) is not None}
    await work.idempotency.keep(workspace, key, KeptAnswer(given.status_code, headers, bytes(given.body)))
    return given


async def _answer(request: Request, answer: Callable[[], Awaitable[Response]]) -> Response:
    """The answer; a refusal as one, too. Raises what is a fault of ours."""
    try:
        return await answer()
    except ApiError as error:
        if error.status >= 500:
            raise
        return error_response(error, request_id_of(request.scope))
