"""Sends the sequence of `tests.integration.ingest.test_sdks` with whichever segment-analytics-python is on the path."""

import sys

import segment.analytics as sdk
from segment.analytics.version import VERSION


def main(url: str, write_key: str, user: str, orders: int) -> int:
    """Send, wait until all is sent, and give the number of failures."""
    failures: list[Exception] = []
    client = sdk.Client(write_key, host=url, on_error=lambda error, _: failures.append(error))
    client.identify(user, {"plan": "pro", "logins": 3})
    for number in range(orders):
        client.track(user, "Order Completed", {"total": number + 0.5})
    client.page(user, "shop", "Cart", {"path": "/cart"})
    client.screen(user, "app", "Home")
    client.group(user, "g1", {"name": "Acme"})
    client.alias("before", user)
    client.flush()
    client.join()
    print(VERSION, failures)
    return len(failures)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
