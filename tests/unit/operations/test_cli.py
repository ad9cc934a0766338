"""What `audience-ops` says before it touches anything."""

import pytest
from typer.testing import CliRunner

from services._kit.demo import API_TOKEN, WRITE_KEY, DemoCredentialsPresent, refuse_demo_credentials, token_sha256
from services._kit.settings import ServiceSettings
from services.operations.__main__ import app
from tests.integration.contracts.memory import MemoryTokenCatalog

COMMANDS = [
    [],
    ["migrate"],
    ["topics"],
    ["topics", "create"],
    ["demo-credentials"],
    ["sources"],
    ["sources", "create"],
    ["sources", "list"],
    ["tokens"],
    ["tokens", "create"],
    ["tokens", "list"],
]


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    for name in ("POSTGRES_DSN", "ENVIRONMENT", "KAFKA_BOOTSTRAP_SERVERS"):
        monkeypatch.delenv(f"AUDIENCE_{name}", raising=False)
    return CliRunner()


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_needs_no_settings(runner: CliRunner, command: list[str]) -> None:
    result = runner.invoke(app, [*command, "--help"])
    assert result.exit_code == 0, result.output
    assert "Usage:" in result.output


def test_a_missing_setting_is_named(runner: CliRunner) -> None:
    result = runner.invoke(app, ["migrate"])
    assert result.exit_code == 1
    assert "AUDIENCE_POSTGRES_DSN" in result.output
    assert "Traceback" not in result.output


def test_demo_credentials_are_refused_in_production(runner: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUDIENCE_POSTGRES_DSN", "postgresql://u:secret-word@127.0.0.1:1/x")
    monkeypatch.setenv("AUDIENCE_ENVIRONMENT", "production")
    result = runner.invoke(app, ["demo-credentials"])
    assert result.exit_code == 1
    assert "production" in result.output


def test_a_part_that_is_away_is_told_without_its_password(runner: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUDIENCE_POSTGRES_DSN", "postgresql://u:secret-word@127.0.0.1:1/x")
    for command in (["migrate"], ["sources", "list"], ["tokens", "list"], ["demo-credentials", "--wait", "0.1"]):
        result = runner.invoke(app, command)
        assert result.exit_code == 1
        assert "PostgreSQL" in result.output
        assert "secret-word" not in result.output
        assert "Traceback" not in result.output


@pytest.mark.parametrize("name", ["", "Big", "a b", "-a", "a:b", "a" * 64])
def test_ids_are_slugs(runner: CliRunner, name: str) -> None:
    assert runner.invoke(app, ["sources", "create", "--", name]).exit_code == 2
    assert runner.invoke(app, ["tokens", "create", "ci", "--workspace", name]).exit_code == 2


class Settings(ServiceSettings):
    port: int = 1
    extra: str = ""


async def test_production_and_the_demos_credentials() -> None:
    production = Settings(environment="production", postgres_dsn="x")
    await refuse_demo_credentials(production)
    await refuse_demo_credentials(production, tokens=MemoryTokenCatalog({token_sha256("own"): "w"}))
    with pytest.raises(DemoCredentialsPresent, match="AUDIENCE_EXTRA") as refused:
        await refuse_demo_credentials(Settings(environment="production", postgres_dsn="x", extra=WRITE_KEY))
    assert WRITE_KEY not in str(refused.value)
    with pytest.raises(DemoCredentialsPresent, match="API token"):
        await refuse_demo_credentials(production, tokens=MemoryTokenCatalog({token_sha256(API_TOKEN): "w"}))
    for allowed in ("local", "demo"):
        settings = Settings(environment=allowed, postgres_dsn="x", extra=API_TOKEN)
        await refuse_demo_credentials(settings, tokens=MemoryTokenCatalog({token_sha256(API_TOKEN): "w"}))
