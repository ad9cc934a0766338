"""``/v1/lists``: uploaded lists of profile ids, which rules ask for with ``{"list": key}``."""

import csv
import io
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Request
from starlette.responses import Response

from audience.ports.catalog import ListMissing, SegmentInUse
from services._kit.errors import ApiError, FieldError
from services.segments.answers import json_response, list_json
from services.segments.cursors import key_behind, page_json
from services.segments.drafts import MAX_NAME, escaped, read_body, read_json, read_object, text_fault
from services.segments.idempotency import IdempotencyKey, once
from services.segments.openapi import answers, body, list_members_body
from services.segments.paths import DEFINITION_KEY, ListKey
from services.segments.work import PAGE, Cursor, Limit, work_of, workspace_of

MOST_IDS: Final = 100_000
MOST_BYTES: Final = 16 << 20
LONGEST_ID_BYTES: Final = 1_024
_FIELDS: Final = ("name",)

router = APIRouter(tags=["lists"])


@router.get("/v1/lists", summary="Lists", responses=answers("ListPage", 422))
async def page(request: Request, limit: Limit = PAGE, cursor: Cursor = "") -> Response:
    """In the order of their keys."""
    after = key_behind(cursor) if cursor else ""
    found = await work_of(request).lists.page(workspace_of(request), after, limit + 1)
    return json_response(page_json("lists", found, limit, list_json, lambda each: each.key))


@router.get("/v1/lists/{key}", summary="Read a list", responses=answers("List", 404, 422))
async def read(request: Request, key: ListKey) -> Response:
    """Its name, and how many profiles are on it."""
    found = await work_of(request).lists.get(workspace_of(request), key)
    if found is None:
        raise no_list(key)
    return json_response(list_json(found))


@router.put("/v1/lists/{key}", summary="Make or rename a list", openapi_extra=body("ListDraft"),
            responses={**answers("List", 400, 413, 422), **answers("List", status=201)})  # fmt: skip
async def put(request: Request, key: ListKey) -> Response:
    """201 where it was made. Those on it stay."""
    name = _name(await read_json(request), key)
    work = work_of(request)
    found, made = await work.lists.put(workspace_of(request), key, name, work.now_ms())
    return json_response(list_json(found), 201 if made else 200)


@router.delete("/v1/lists/{key}", status_code=204, summary="Delete a list",
               responses=answers(None, 404, 409, 422, status=204))  # fmt: skip
async def delete(request: Request, key: ListKey) -> Response:
    """409 `in_use` where a segment's rule asks for it."""
    work = work_of(request)
    try:
        await work.lists.delete(workspace_of(request), key)
    except ListMissing as error:
        raise no_list(key) from error
    except SegmentInUse as error:
        raise ApiError(409, "in_use", f"segments ask for {key!r}: {', '.join(map(repr, error.users))}") from error
    work.publisher.wake()
    return Response(status_code=204)


@router.post("/v1/lists/{key}/members", summary="Put profiles on a list", openapi_extra=list_members_body(),
             responses=answers("ListAdded", 400, 404, 409, 413, 422))  # fmt: skip
async def add(
    request: Request,
    key: ListKey,
    content_type: Annotated[str, Header(include_in_schema=False)] = "",
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """JSON, or CSV of which the first column counts. Those that are on the list already stay on it."""
    content = await read_body(request, MOST_BYTES)

    async def answer() -> Response:
        ids = _of_csv(content) if content_type.partition(";")[0].strip().lower() == "text/csv" else _of_json(content)
        work = work_of(request)
        try:
            found, added = await work.lists.add(workspace_of(request), key, ids, work.now_ms())
        except ListMissing as error:
            raise no_list(key) from error
        work.publisher.wake()
        return json_response({**list_json(found), "added": added})

    return await once(request, idempotency_key, content, answer)


def no_list(key: str) -> ApiError:
    """404."""
    return ApiError(404, "list_not_found", f"there is no list {key!r}")


def _refused(*faults: FieldError) -> ApiError:
    return ApiError(422, "invalid_request", "the list is not of the right shape", errors=list(faults))


def _fault(code: str, path: str, message: str) -> FieldError:
    return FieldError(code=code, path=path, message=message)


def _name(content: object, key: str) -> str:
    if not DEFINITION_KEY.fullmatch(key):
        raise _refused(_fault("bad_value", "/key", "must be 1 to 63 of a-z, 0-9, _ and -, the first a letter or digit"))
    if not isinstance(content, dict):
        raise _refused(_fault("wrong_type", "", "a list is an object"))
    faults = [
        _fault("unknown_key", f"/{escaped(name)}", "a list has no such key") for name in content if name not in _FIELDS
    ]
    name = content.get("name", key)
    if (fault := text_fault(name, MAX_NAME)) is not None:
        faults.append(_fault(fault["code"], "/name", fault["message"]))
    if faults:
        raise _refused(*faults)
    return str(name)


def _of_json(content: bytes) -> list[str]:
    decoded = read_object(content)
    if not isinstance(decoded, dict):
        raise _refused(_fault("wrong_type", "", "an object with `profile_ids`"))
    faults = [
        _fault("unknown_key", f"/{escaped(name)}", "there is no such key") for name in decoded if name != "profile_ids"
    ]
    ids = decoded.get("profile_ids")
    if not isinstance(ids, list):
        code = "missing_key" if ids is None else "wrong_type"
        faults.append(_fault(code, "" if ids is None else "/profile_ids", "must be a list of ids"))
    if faults:
        raise _refused(*faults)
    return _checked(ids or [], "/profile_ids/{}")


def _of_csv(content: bytes) -> list[str]:
    try:
        text = content.decode("utf-8-sig")
        rows = [row[0] for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ApiError(400, "invalid_csv", f"the body is not CSV in UTF-8: {error}") from error
    if rows[:1] == ["profile_id"]:
        del rows[0]
    return _checked(rows, "/{}")


def _checked(ids: list[Any], path: str) -> list[str]:
    if len(ids) > MOST_IDS:
        raise _refused(_fault("limit_exceeded", path.rpartition("/")[0], f"may hold {MOST_IDS} ids a request"))
    faults = [_fault(*wrong) for at, each in enumerate(ids) if (wrong := _wrong(each, path.format(at))) is not None]
    if faults:
        raise _refused(*faults[:100])
    return ids


def _wrong(value: object, path: str) -> tuple[str, str, str] | None:
    if not isinstance(value, str):
        return "wrong_type", path, "an id is a string"
    if not value or "\0" in value or len(value.encode()) > LONGEST_ID_BYTES:
        return "bad_value", path, f"an id has 1 to {LONGEST_ID_BYTES} bytes, and no U+0000"
    return None
