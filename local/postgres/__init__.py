"""PostgreSQL: the server that a wheel carries, with the settings of the demo."""
