"""Runs an application until it is told to stop; then the requests in flight are answered first."""

import resource
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from services._kit.protocol import LimitedProtocol
from services._kit.settings import ServiceSettings

GRACE_S = 20
BACKLOG = 16_384
"""Connections that wait to be taken, as far as the system (net.core.somaxconn) lets them; more are not answered."""

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


def _open_files() -> None:
    """As many as the system lets us have: each connection is one, and the usual soft limit is 1,024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def serve(app: ASGIApp, settings: ServiceSettings, stopping: Stopping | None = None) -> None:
    """Serve `app` on the settings' address; returns after a graceful stop."""
    _open_files()
    _Server(config_of(app, settings), stopping or Stopping()).run()


def config_of(app: ASGIApp | str, settings: ServiceSettings, **more: Any) -> uvicorn.Config:
    """How every service is served. `app` as text names what makes it: ``module:function``."""
    return uvicorn.Config(
        app,
        factory=isinstance(app, str),
        host=settings.host,
        port=settings.port,
        log_config=None,
        loop="services._kit.accepting:CrowdLoop",
        http=LimitedProtocol,
        ws="none",
        access_log=False,
        backlog=BACKLOG,
        server_header=False,
        proxy_headers=False,  # addresses come from settings, not from headers that anybody may send
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
        **more,
    )
