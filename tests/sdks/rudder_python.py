"""Sends the sequence of `tests.integration.ingest.test_sdks` with rudder-sdk-python."""

import sys

import rudderstack.analytics as sdk
from rudderstack.analytics.version import VERSION


def main(url: str, write_key: str, user: str, orders: int) -> int:
    """Send, wait until all is sent, and give the number of failures."""
    failures: list[Exception] = []
    sdk.write_key = write_key
    sdk.dataPlaneUrl = url
    sdk.on_error = lambda error, _: failures.append(error)
    sdk.identify(user, {"plan": "pro", "logins": 3})
    for number in range(orders):
        sdk.track(user, "Order Completed", {"total": number + 0.5})
    sdk.page(user, "shop", "Cart", {"path": "/cart"})
    sdk.screen(user, "app", "Home")
    sdk.group(user, "g1", {"name": "Acme"})
    sdk.alias("before", user)
    sdk.flush()
    sdk.shutdown()
    print(VERSION, failures)
    return len(failures)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
