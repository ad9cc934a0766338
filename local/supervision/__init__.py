"""supervisord: its configuration, its start, and the client that asks it to start and stop programs."""
