"""A profile's accepted events from the lake, which keeps them for long, and from the log, which has the newest."""

from collections.abc import Iterable, Sequence

import structlog

from audience.ports.event_log import EventHistory, KeptEvent
from audience.ports.lake import LakeTooSlow, LakeUnavailable
from services.segments import lake_worker
from services.segments.lake_worker import Busy, LakeWorker

log = structlog.stdlib.get_logger(__name__)


class LakeThenLog:
    """Implements `audience.ports.event_log.EventHistory`. An event that both have is given once."""

    def __init__(self, lake: LakeWorker, event_log: EventHistory, *, lake_limit_s: float) -> None:
        self._lake = lake
        self._log = event_log
        self._lake_limit_s = lake_limit_s

    async def events_of(self, workspace: str, profile_id: str) -> Iterable[KeptEvent]:
        """In the order of acceptance. Raises EventLogUnavailable; without the lake there is what the log has."""
        newest = await self._log.events_of(workspace, profile_id)
        older: Sequence[KeptEvent] = ()
        try:
            older = await self._lake.ask(lake_worker.events_of, workspace, profile_id, self._lake_limit_s)
        except (LakeUnavailable, LakeTooSlow, Busy) as error:
            log.warning("a history is that of the log alone", error=str(error))
        return _once((*older, *newest))


def _once(events: Iterable[KeptEvent]) -> list[KeptEvent]:
    found: dict[tuple[str, str], KeptEvent] = {}
    for event in events:
        found.setdefault((event.source, event.message_id), event)
    return list(found.values())
