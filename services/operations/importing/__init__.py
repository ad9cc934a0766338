"""`audience-ops import`: historical events from files, by the same path as live ones."""
