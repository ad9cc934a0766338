"""Settings: what is read, moved, and refused."""

from pathlib import Path

import pytest

from local.settings import PORT_FIELDS, ROOT, LocalSettings, SettingsError, load, variable


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in LocalSettings.model_fields:
        monkeypatch.delenv(variable(field), raising=False)


def test_the_contracts_ports_without_settings() -> None:
    settings = load({})
    assert (settings.port("ingest_port"), settings.port("segments_port")) == (8081, 8082)
    assert settings.data_folder == ROOT / ".data"


def test_the_offset_moves_every_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUDIENCE_LOCAL_PORT_OFFSET", "100")
    moved, plain = load({"AUDIENCE_LOCAL_PORT_OFFSET": "100"}), LocalSettings(port_offset=0)
    assert [moved.port(name) - plain.port(name) for name in PORT_FIELDS] == [100] * len(PORT_FIELDS)


def test_every_port_is_moved_by_the_offset() -> None:
    assert {name for name in LocalSettings.model_fields if name.endswith("_port")} == set(PORT_FIELDS)


def test_a_misspelt_variable_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(SettingsError, match=r"AUDIENCE_LOCAL_PORT_OFSET.*AUDIENCE_LOCAL_PORT_OFFSET"):
        load({"AUDIENCE_LOCAL_PORT_OFSET": "1"})


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("AUDIENCE_LOCAL_KAFKA_PORT", "0", "AUDIENCE_LOCAL_KAFKA_PORT"),
        ("AUDIENCE_LOCAL_PORT_OFFSET", "60000", "no port"),
        ("AUDIENCE_LOCAL_KAFKA_PORT", "8081", "two ports are the same"),
        ("AUDIENCE_LOCAL_STATE_BACKEND", "disk", "AUDIENCE_LOCAL_STATE_BACKEND"),
    ],
)
def test_what_cannot_be_meant_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=words):
        load({name: value})


def test_a_data_folder_elsewhere(tmp_path: Path) -> None:
    assert LocalSettings(data=tmp_path).data_folder == tmp_path
