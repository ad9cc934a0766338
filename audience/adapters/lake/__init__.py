"""The lake as Delta tables: `deltalake` writes and keeps house, DuckDB reads. Nobody else imports either."""
