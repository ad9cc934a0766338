"""Runs an application until it is told to stop; then the requests in flight are answered first."""

from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from services._kit.protocol import LimitedProtocol
from services._kit.settings import ServiceSettings

GRACE_S = 20
KEEP_ALIVE_S = 75
"""Longer than load balancers keep idle connections (60 s), so that it is never we who close one under a request."""


class Stopping:
    """Whether the server has been told to stop. For answers that never end by themselves."""

    def __init__(self) -> None:
        self._stopping = False

    def __call__(self) -> bool:
        return self._stopping

    def begin(self) -> None:
        """The server ends."""
        self._stopping = True


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, stopping: Stopping) -> None:
        super().__init__(config)
        self._stopping = stopping

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._stopping.begin()
        super().handle_exit(sig, frame)


def serve(app: ASGIApp, settings: ServiceSettings, stopping: Stopping | None = None) -> None:
    """Serve `app` on the settings' address; returns after a graceful stop."""
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        loop="uvloop",
        http=LimitedProtocol,
        ws="none",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # addresses come from settings, not from headers that anybody may send
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
    )
    _Server(config, stopping or Stopping()).run()
