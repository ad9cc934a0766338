"""Archives the topic `events` into the lake, and keeps the lake: one row an event, daily aggregates, housekeeping."""
