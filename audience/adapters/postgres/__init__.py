"""PostgreSQL: the catalog of segments, credentials, and the embedded profile store. The only users of asyncpg."""
