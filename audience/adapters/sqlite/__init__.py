"""SQLite: what one process keeps on its own disk."""
