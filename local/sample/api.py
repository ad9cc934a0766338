"""The few calls of the segment API that the sample needs, with the demo's token."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Final, Self

import httpx

from local.sample.segments import SampleSegment

TOKEN: Final = "demo-api-token"  # noqa: S105  the demo's, known to everybody and refused in production


class ApiFailed(Exception):
    """The segment API gave an answer that the sample cannot go on from."""


class SegmentApi:
    """A client. Each call raises ApiFailed with what the API said."""

    def __init__(self, address: str) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        self._client = httpx.Client(base_url=address, headers=headers, timeout=10.0, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def create(self, segments: Sequence[SampleSegment]) -> int:
        """Create those that are not there; gives how many were new."""
        created = 0
        for segment in segments:
            answer = self._call("POST", "/v1/segments", segment.body())
            if answer.status_code == httpx.codes.CONFLICT:
                continue
            if answer.status_code != httpx.codes.CREATED:
                raise ApiFailed(f"segment {segment.key} was not created: {answer.status_code} {answer.text}")
            created += 1
        return created

    def sizes(self, segments: Sequence[SampleSegment]) -> Mapping[str, int]:
        """The sizes of the segments, by key."""
        found = {}
        for segment in segments:
            answer = self._call("GET", f"/v1/segments/{segment.key}")
            if answer.status_code != httpx.codes.OK:
                raise ApiFailed(f"segment {segment.key} cannot be read: {answer.status_code} {answer.text}")
            found[segment.key] = int(answer.json()["size"])
        return found

    def _call(self, method: str, path: str, body: object = None) -> httpx.Response:
        try:
            return self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise ApiFailed(f"the segment API does not answer: {type(error).__name__} {error}") from error
