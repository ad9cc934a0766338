"""A running platform for the tests that need one, once for all of them."""

import os
import shutil
from collections.abc import Iterator

import pytest

from local.settings import load
from tests.integration.addresses import OtherPlatform, from_environment
from tests.integration.local.running import LocalPlatform, platform_in, stopped_afterwards


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform | OtherPlatform]:
    """The whole platform, without the sample history, on shifted ports and with data of its own.

    With AUDIENCE_TEST_PLATFORM set, the one that `make up` started in this environment is used, and stays. With
    AUDIENCE_TEST_INGEST_URL and its companions (`addresses`), one that runs anywhere.
    """
    if (other := from_environment()) is not None:
        yield other
        return
    if os.environ.get("AUDIENCE_TEST_PLATFORM"):
        yield LocalPlatform(load(os.environ))
        return
    data = tmp_path_factory.mktemp("platform")
    with stopped_afterwards(platform_in(data)) as started:
        started.up()
        yield started
    shutil.rmtree(data)  # pytest keeps the folders of its last runs, and this one is large
