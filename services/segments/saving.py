"""Saving segments: a rule is checked against the catalog as it is, and saved only while it still is so."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from audience.adapters.regex import compile_regex
from audience.engine.lowering import leaves_of
from audience.ports.catalog import (
    CatalogMoved,
    CatalogView,
    RevisionConflict,
    Segment,
    SegmentCatalog,
    SegmentDraft,
    SegmentExists,
    SegmentInUse,
    SegmentLeaving,
    SegmentMissing,
    SegmentNotFilled,
)
from audience.rules import References, RuleInvalid, parse_rule
from audience.rules.references import computed_traits_of, lists_of, segments_of
from services._kit.errors import ApiError, FieldError, unavailable
from services.segments.catalog_copy import CatalogCopy
from services.segments.drafts import Fields
from services.segments.publisher import Publisher

_ATTEMPTS: Final = 12

_Write = Callable[[SegmentDraft, CatalogView], Awaitable[Segment]]


class Saving:
    """Creates, replaces and deletes segments; tells the publisher, and the copy that reads look at.

    `filled`: there is a lake that they are filled from.
    """

    def __init__(
        self,
        catalog: SegmentCatalog,
        copy: CatalogCopy,
        publisher: Publisher,
        now_ms: Callable[[], int],
        *,
        filled: bool,
    ) -> None:
        self._catalog = catalog
        self._copy = copy
        self._publisher = publisher
        self._now_ms = now_ms
        self._filled = filled

    async def create(self, workspace: str, fields: Fields) -> Segment:
        """Raises ApiError: 409 `segment_exists`, 422 `rule_invalid`."""

        async def write(draft: SegmentDraft, view: CatalogView) -> Segment:
            return await self._catalog.create(workspace, draft, view, self._now_ms())

        with _as_answers(fields.key):
            try:
                return await self._save(workspace, fields, write)
            except SegmentLeaving:  # one of this key was deleted a moment ago: finish that first
                await self._publisher.publish()
                await self._publisher.remove_leaving()
                return await self._save(workspace, fields, write)

    async def replace(self, workspace: str, fields: Fields, known: frozenset[int] | None) -> Segment:
        """Raises ApiError: 404, 409 `in_use`, 412 `version_conflict`, 422 `rule_invalid`."""

        async def write(draft: SegmentDraft, view: CatalogView) -> Segment:
            return await self._catalog.replace(workspace, draft, view, known, self._now_ms())

        with _as_answers(fields.key):
            return await self._save(workspace, fields, write)

    async def fill_again(self, workspace: str, key: str) -> None:
        """Have the segment filled from the lake. Raises ApiError: 404, 409 `not_filled`, `backfill_unavailable`."""
        if not self._filled:
            raise ApiError(409, "backfill_unavailable", "this platform keeps no lake")
        with _as_answers(key):
            await self._catalog.fill_again(workspace, key, self._now_ms())
        await self.saved()

    async def delete(self, workspace: str, key: str, known: frozenset[int] | None) -> None:
        """Raises ApiError: 404, 409 `in_use`, 412 `version_conflict`."""
        with _as_answers(key):
            await self._catalog.delete(workspace, key, known, self._now_ms())
        await self.saved()

    async def _save(self, workspace: str, fields: Fields, write: _Write) -> Segment:
        """Check the rule, and write; once more where the catalog changed in between."""
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(CatalogMoved),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.01, max=0.3),
            reraise=True,
        ):
            with attempt:
                view = await self._catalog.view(workspace)
                segment = await write(_draft(fields, view, filled=self._filled), view)
                await self.saved()
                return segment
        raise AssertionError("tenacity gives the result or raises")

    async def saved(self) -> None:
        """What the jobs are told of a segment has changed."""
        self._publisher.wake()
        await self._copy.attempt()  # so that the next read of this process sees it


def _draft(fields: Fields, view: CatalogView, *, filled: bool) -> SegmentDraft:
    references = References(fields.key, view.segments, view.lists, view.computed_traits)
    rule = parse_rule(fields.rule, regex=compile_regex, references=references)
    return SegmentDraft(
        key=fields.key,
        name=fields.name,
        description=fields.description,
        rule=fields.rule,
        tags=fields.tags,
        status=fields.status,
        refers_to=segments_of(rule),
        reads_lists=lists_of(rule),
        reads_computed_traits=computed_traits_of(rule),
        leaves=leaves_of(rule),
        filled=filled,
    )


@contextmanager
def rule_refused() -> Iterator[None]:
    """Turn a rule that is refused into 422, with every fault."""
    try:
        yield
    except RuleInvalid as error:
        faults = [FieldError(code=each.code, path=each.path, message=each.message) for each in error.errors]
        raise ApiError(422, "rule_invalid", "the rule is refused", errors=faults) from error


@contextmanager
def _as_answers(key: str) -> Iterator[None]:
    """Turn what the catalog and the parser refuse into answers."""
    try:
        with rule_refused():
            yield
    except SegmentExists as error:
        raise ApiError(409, "segment_exists", f"there is a segment {key!r} already") from error
    except SegmentMissing as error:
        raise no_segment(key) from error
    except SegmentInUse as error:
        users = ", ".join(map(repr, error.users))
        raise ApiError(409, "in_use", f"other segments refer to {key!r}: {users}") from error
    except SegmentNotFilled as error:
        raise ApiError(409, "not_filled", f"{key!r} is not evaluated") from error
    except RevisionConflict as error:
        raise ApiError(412, "version_conflict", f"{key!r} was changed since; read it again") from error
    except SegmentLeaving as error:
        raise unavailable(f"the removal of the segment that was {key!r} before") from error
    except CatalogMoved as error:
        raise unavailable("the catalog, which others are changing,") from error


def no_segment(key: str) -> ApiError:
    """404."""
    return ApiError(404, "segment_not_found", f"there is no segment {key!r}")
