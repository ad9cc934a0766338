"""What a failure of the driver means to the platform: the one place that decides.

`StoreUnavailable` is for what a later try may get past: no connection, no answer in time, a server that starts, stops,
is full, read-only, or has no schema yet. `RecordRefused` is for a value that this database will never take. All else
is a fault of ours (a wrong statement) and stays what it is, so that it is seen.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg

from audience.ports.stores import RecordRefused, StoreUnavailable

_AWAY: Final = (
    OSError,  # refused, reset, unreachable, unknown host
    TimeoutError,  # no connection from the pool, or no answer, in time
    asyncpg.InternalClientError,  # the protocol was cut in the middle
    asyncpg.PostgresConnectionError,  # class 08
    asyncpg.InvalidAuthorizationSpecificationError,  # class 28: a password that is being rotated
    asyncpg.InvalidCatalogNameError,  # the database is not there (yet)
    asyncpg.TransactionRollbackError,  # class 40: deadlock, serialization
    asyncpg.InsufficientResourcesError,  # class 53: disk full, too many connections
    asyncpg.LockNotAvailableError,
    asyncpg.OperatorInterventionError,  # class 57: shutdown, start-up, statement timeout
    asyncpg.PostgresSystemError,  # class 58: the server's own I/O
    asyncpg.ReadOnlySQLTransactionError,  # a replica, during a failover
)
_REFUSED_CLASSES: Final = ("22", "54")  # data exceptions; limits, for example an id too long for an index
_NO_SCHEMA: Final = (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError, asyncpg.InvalidSchemaNameError)


@contextmanager
def mapped() -> Iterator[None]:
    """Turn the driver's failures inside the block into the port's. Messages never hold the address or a password."""
    try:
        yield
    except asyncpg.ClientConfigurationError:
        raise  # a wrong address in the settings: no store is away, and nobody should wait for it
    except _NO_SCHEMA as error:
        raise StoreUnavailable(f"the schema is not there ({_words(error)}); run `audience-ops migrate`") from error
    except _AWAY as error:
        raise StoreUnavailable(f"PostgreSQL: {type(error).__name__}: {_words(error)}") from error
    except asyncpg.PostgresError as error:
        if (error.sqlstate or "").startswith(_REFUSED_CLASSES):
            raise RecordRefused(f"PostgreSQL: {_words(error)}") from error
        error.detail = None  # it would show the row wherever the fault is shown
        raise
    except asyncpg.InterfaceError as error:
        if isinstance(error, ValueError):  # the driver could not encode a value, so nothing was sent
            raise RecordRefused(f"PostgreSQL: {error}") from error
        # What is left of this class is "the connection is closed" and "the pool is closing".
        raise StoreUnavailable(f"PostgreSQL: {error}") from error


def _words(error: Exception) -> object:
    """The message alone: the details that a server adds hold the row, which may be a customer's."""
    return error.args[0] if isinstance(error, asyncpg.PostgresError) and error.args else error
