"""The engine: profile, input, rules and time in; changes out. Pure: stream, backfill, preview and explain share it."""
