"""Starts ingest-api: ``python -m services.ingest``."""

from audience.telemetry import logs
from services._kit.processes import cores, serve_processes
from services._kit.server import serve
from services.ingest.settings import IngestSettings
from services.ingest.starting import build


def main() -> None:
    """Serve until told to stop."""
    settings = IngestSettings()  # type: ignore[call-arg]  # the environment gives them
    processes = settings.ingest_processes or (cores() if settings.environment == "production" else 1)
    if processes == 1:
        serve(build(settings), settings)
    else:
        logs.configure("ingest-api", settings.log_level)
        serve_processes("services.ingest.starting:worker", settings, processes)


if __name__ == "__main__":
    main()
