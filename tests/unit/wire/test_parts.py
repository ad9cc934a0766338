"""Histories in commands that Kafka takes."""

from msgspec import Raw

from audience.wire.parts import in_parts


def test_parts_are_small_and_keep_the_order() -> None:
    events = [(number, Raw(b"x" * 30)) for number in range(10)]
    parts = list(in_parts(events, most_bytes=100))
    assert [[offset for offset, _ in part] for part in parts] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]


def test_one_that_is_too_large_is_a_part_of_its_own() -> None:
    parts = list(in_parts([(0, Raw(b"x")), (1, Raw(b"x" * 500)), (2, Raw(b"x"))], most_bytes=100))
    assert [len(part) for part in parts] == [1, 1, 1]


def test_without_events_there_is_one_part() -> None:
    assert list(in_parts([])) == [()]
