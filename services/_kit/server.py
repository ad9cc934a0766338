"""Runs an application until it is told to stop; then the requests in flight are answered first."""

import uvicorn
from starlette.types import ASGIApp

from services._kit.protocol import LimitedProtocol
from services._kit.settings import ServiceSettings

GRACE_S = 20
KEEP_ALIVE_S = 75
"""Longer than load balancers keep idle connections (60 s), so that it is never we who close one under a request."""


def serve(app: ASGIApp, settings: ServiceSettings) -> None:
    """Serve `app` on the settings' address; returns after a graceful stop."""
    uvicorn.run(
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
    )
