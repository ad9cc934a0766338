"""ingest-api: events in over HTTP, as the SDKs of Segment and RudderStack send them, and safely into Kafka.

From outside to inside: `routes` (paths, answers), `body` (bytes, gzip, limits), `credentials` and `sources` (who),
`intake` (one request), `shape`, `salvage`, `diagnose` (JSON), then `audience.events` (what an event means).
"""
