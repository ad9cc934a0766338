"""`audience-ops` against a database and a broker."""

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from services.operations.__main__ import app
from tests.integration.contracts.database import fresh_database

pytestmark = pytest.mark.platform


class Operator:
    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    def run(self, *command: str) -> Result:
        return CliRunner().invoke(app, list(command))

    def succeed(self, *command: str) -> str:
        result = self.run(*command)
        assert result.exit_code == 0, result.output
        return result.output.strip()


@pytest.fixture
def operator(platform: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Operator]:
    with fresh_database(platform.postgres_dsn, migrated=False) as dsn:
        monkeypatch.setenv("AUDIENCE_POSTGRES_DSN", dsn)
        monkeypatch.setenv("AUDIENCE_KAFKA_BOOTSTRAP_SERVERS", platform.kafka_bootstrap)
        monkeypatch.setenv("AUDIENCE_ENVIRONMENT", "demo")
        yield Operator(dsn)


def test_from_an_empty_database_to_credentials(operator: Operator) -> None:
    assert "audience-ops migrate" in operator.run("demo-credentials").output
    assert "CREATE TABLE segments" in operator.succeed("migrate", "--dry-run")
    assert "from an empty database" in operator.succeed("migrate")
    assert "up to date" in operator.succeed("migrate")
    assert "nothing to do" in operator.succeed("migrate", "--dry-run")

    for _ in range(2):
        operator.succeed("demo-credentials")
    assert operator.succeed("sources", "list") == "demo\tdemo\tserver\tDemo\tdemo-write-key"

    write_key = operator.succeed("sources", "create", "shop", "--name", "The shop", "--workspace", "other")
    assert f"other\tshop\tserver\tThe shop\t{write_key}" in operator.succeed("sources", "list")
    assert operator.run("sources", "create", "shop", "--workspace", "other").exit_code == 1

    operator.succeed("sources", "create", "web", "--kind", "browser", "--events-per-s", "50", "--workspace", "other")
    assert "other\tweb\tbrowser\tweb\t" in operator.succeed("sources", "list")
    assert operator.run("sources", "create", "tv", "--kind", "fridge").exit_code == 2
    operator.succeed("sources", "revoke", "web", "--workspace", "other")
    assert "\tweb\t" not in operator.succeed("sources", "list")
    assert "no source 'web'" in operator.run("sources", "revoke", "web", "--workspace", "other").output
    assert "there is a source" in operator.run("sources", "create", "web", "--workspace", "other").output

    token = operator.succeed("tokens", "create", "ci")
    assert len(token) > 40
    listed = operator.succeed("tokens", "list")
    assert "demo\tci\t" in listed
    assert token not in listed
    assert hashlib.sha256(token.encode()).hexdigest() not in listed
    assert operator.run("tokens", "create", "ci").exit_code == 1


def test_topics_that_are_there(operator: Operator) -> None:
    assert operator.succeed("topics", "create") == "every topic is there"
