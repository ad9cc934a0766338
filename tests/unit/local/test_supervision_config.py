"""supervisord's file, read back by supervisor itself."""

import shlex
from pathlib import Path
from typing import Any

import pytest
from supervisor.options import ServerOptions

from local.layout import Layout
from local.model import Part, Platform
from local.supervision import config


def part(**changed: Any) -> Part:
    values = {"name": "echo", "title": "Echo", "command": ("/bin/echo", "a b", "100%", "it's"), "probe": lambda: ""}
    return Part(**{**values, **changed})


def read_back(tmp_path: Path, *parts: Part) -> tuple[Any, dict[str, Any]]:
    """What supervisor makes of the file: its own options, and each program's."""
    layout = Layout(tmp_path, tmp_path / "data folder")
    layout.make()
    file = tmp_path / "supervisord.conf"
    file.write_text(config.render(Platform(parts, ()), layout))
    options = ServerOptions()
    options.configfile = str(file)
    options.process_config(do_usage=False)
    programs = {each.name: each for group in options.process_group_configs for each in group.process_configs}
    return options, programs


def test_a_command_comes_through_with_its_spaces_percents_and_quotes(tmp_path: Path) -> None:
    _, programs = read_back(tmp_path, part())
    assert shlex.split(programs["echo"].command)[-4:] == ["/bin/echo", "a b", "100%", "it's"]


def test_every_command_dies_with_supervisord(tmp_path: Path) -> None:
    _, programs = read_back(tmp_path, part(), part(name="other", death_signal="QUIT", become=("setpriv", "--reuid=1")))
    assert "--pdeathsig KILL /bin/echo" in programs["echo"].command
    words = programs["other"].command
    assert words.index("--reuid=1") < words.index("--pdeathsig QUIT")


def test_variables_come_through(tmp_path: Path) -> None:
    given = {"AUDIENCE_POSTGRES_DSN": "postgresql://a:p%40,=x@h/d", "WITH_SPACE": "a b", "QUOTED": "say 'so' now"}
    _, programs = read_back(tmp_path, part(environment=given))
    assert programs["echo"].environment == given


def test_nothing_starts_by_itself_everything_comes_back_and_logs_are_bounded(tmp_path: Path) -> None:
    options, programs = read_back(tmp_path, part())
    program = programs["echo"]
    assert program.autostart is False
    assert program.autorestart is not False
    assert 0 < program.stdout_logfile_maxbytes <= 20_000_000
    assert program.stdout_logfile_backups <= 2
    assert 0 < options.logfile_maxbytes <= 20_000_000


@pytest.mark.parametrize("value", ["a\nb", "a ;b", "a #b"])
def test_a_value_that_would_be_read_otherwise_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(config.CannotBeWritten):
        read_back(tmp_path, part(environment={"X": value}))


@pytest.mark.parametrize("value", ["\"both' kinds", "'at the ends'"])
def test_quotes_that_supervisor_would_lose_are_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(config.CannotBeWritten, match="X holds quotes"):
        read_back(tmp_path, part(environment={"X": value}))


def test_a_data_folder_with_a_percent_sign_is_refused(tmp_path: Path) -> None:
    with pytest.raises(config.CannotBeWritten, match="percent"):
        config.render(Platform((part(),), ()), Layout(tmp_path, tmp_path / "100%"))


def test_the_file_changes_with_what_the_parts_read_elsewhere(tmp_path: Path) -> None:
    layout = Layout(tmp_path, tmp_path)
    one, other = (config.render(Platform((part(),), (), {"heap": n}), layout) for n in (1, 2))
    assert one != other
