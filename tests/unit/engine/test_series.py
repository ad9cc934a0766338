"""What a series keeps, against a plain model: a list of all that was added."""

import random
from collections.abc import Iterator
from operator import itemgetter
from typing import Any

import pytest

from audience.engine.measures import Count, Greatest, Least, Numbers
from audience.engine.packing import LONGEST, pack_doubles, pack_signed, pack_unsigned, unpack, unpack_doubles
from audience.engine.panes import Panes
from audience.engine.seen import MOST_DISTINCT, Distinct, First, Frequencies, Last, in_order

VALUES: tuple[Any, ...] = (5, 5.0, -2.5, 0, "x", "5", "", True, False, None, ["x"], {"k": 1}, 1e300)
AT = itemgetter(2)
Added = tuple[int, Any, tuple[int, str, str]]


def plain(value: Any) -> tuple[str, Any] | None:
    """What tells scalars apart; None for what is none."""
    if isinstance(value, bool):
        return ("boolean", value)
    if isinstance(value, int | float):
        return ("number", float(value))
    return ("string", value) if isinstance(value, str) else None


def of_count(added: list[Added]) -> int:
    return len(added)


def of_numbers(added: list[Added]) -> tuple[int, int]:
    return sum(value for _, value, _ in added), len(added)


def of_least(added: list[Added]) -> float | None:
    return min((float(value) for _, value, _ in added if (plain(value) or "?")[0] == "number"), default=None)


def of_greatest(added: list[Added]) -> float | None:
    return max((float(value) for _, value, _ in added if (plain(value) or "?")[0] == "number"), default=None)


def of_distinct(added: list[Added]) -> int:
    return len({plain(value) for _, value, _ in added} - {None})


def rank(at: tuple[int, str, str]) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    """Which of two is the first: of one time that with the larger message id, then the larger source."""
    return at[0], tuple(-ord(each) for each in at[1]), tuple(-ord(each) for each in at[2])


def of_first(added: list[Added]) -> Any:
    there = [(rank(at), value) for _, value, at in added if value is not None]
    return min(there, key=lambda each: each[0])[1] if there else None


def of_last(added: list[Added]) -> Any:
    there = [(at, value) for _, value, at in added if value is not None]
    return max(there, key=lambda each: each[0])[1] if there else None


def of_frequencies(added: list[Added]) -> Any:
    by_value: dict[Any, list[Any]] = {}
    for _, value, at in added:
        if plain(value) is not None:
            by_value.setdefault(plain(value), []).append(rank(at))
    best = min(by_value.items(), key=lambda each: (-len(each[1]), min(each[1])), default=(None, None))[0]
    return None if best is None else best[1]


KINDS = [
    (Count, of_count), (Numbers, of_numbers), (Least, of_least), (Greatest, of_greatest), (Distinct, of_distinct),
    (First, of_first), (Last, of_last), (Frequencies, of_frequencies),
]  # fmt: skip


def add(state: Any, pane: int, value: Any, at: tuple[int, str, str]) -> None:
    if isinstance(state, Count):
        state.add(pane)
    elif isinstance(state, Numbers):
        state.add(pane, value)
    else:
        state.add(pane, value, at)


def histories(seed: int) -> Iterator[tuple[int, Any, int]]:
    """Panes in some order, numbers for `Numbers`, and by how much the window moves before each."""
    chance = random.Random(seed)  # noqa: S311
    for _ in range(chance.randrange(1, 40)):
        moves = chance.choice((0, 0, 0, 0, 1, 3, 30))
        yield chance.choice((chance.randrange(12), chance.randrange(400))), chance.randrange(-300, 300) * 10_000, moves


@pytest.mark.parametrize(("kind", "model"), KINDS, ids=lambda each: each.__name__)
@pytest.mark.parametrize("seed", range(60))
def test_a_series_reads_what_the_model_reads(kind: Any, model: Any, seed: int) -> None:
    chance = random.Random(-seed - 1)  # noqa: S311
    state = kind()
    added: list[Added] = []
    first_pane = 1_000
    assert state.empty
    for number, (place, micros, moves) in enumerate(histories(seed)):
        first_pane += moves
        state.expire(first_pane)
        pane = first_pane + place
        value = micros if kind is Numbers else chance.choice(VALUES)
        at = (pane * 1_000 + chance.choice((0, 0, 500)), f"m{chance.randrange(10**6):06}{number}", chance.choice("st"))
        add(state, pane, value, at)
        added.append((pane, value, at))
        if chance.random() < 0.3:
            data = state.pack()
            state = kind.unpack(data)
            assert state.pack() == data
        asked = chance.choice((first_pane, first_pane + chance.randrange(20), 10**6))
        assert state.reading(asked) == model([each for each in added if each[0] >= asked])
        kept = [each for each in added if each[0] >= first_pane and (each[1] is not None or kind is not Last)]
        assert_foretold(model, state, [max(kept, key=AT)] if kept and kind is Last else kept, asked)
    state.expire(10**7)
    assert state.empty


def assert_foretold(model: Any, state: Any, added: list[Added], asked: int) -> None:
    """Each pane that leaves, oldest first, and what is read then; one whose leaving changes nothing may be left out."""
    foretold = list(state.ahead(asked))
    assert [pane for pane, _ in foretold] == sorted({pane for pane, _ in foretold})
    panes = sorted({pane for pane, _, _ in added if pane >= asked})
    assert {pane for pane, _ in foretold} <= set(panes)
    told = dict(foretold)
    known = model([each for each in added if each[0] >= asked])
    for pane in panes:
        after = model([each for each in added if each[0] > pane])
        if pane in told:
            assert told[pane] == after
        else:
            assert after == known
        known = after


@pytest.mark.parametrize("seed", range(40))
def test_the_pane_with_which_a_count_falls_short(seed: int) -> None:
    state = Count()
    panes = sorted(place for place, _, _ in histories(seed))
    for pane in random.Random(seed).sample(panes, len(panes)):  # noqa: S311
        state.add(pane)
    for least in range(1, len(panes) + 1):
        assert state.pane_that_leaves(least) == panes[-least]


@pytest.mark.parametrize("seed", range(20))
def test_panes_in_any_order_are_packed_alike(seed: int) -> None:
    panes = [place for place, _, _ in histories(seed)]
    packed = set()
    for order in (panes, panes[::-1], sorted(panes)):
        state = Count()
        for pane in order:
            state.add(pane)
        assert state.numbers() == sorted(set(panes))
        assert (state.first, state.last) == (min(panes), max(panes))
        assert [state.index_of(pane) for pane in range(405)] == [
            sum(number < pane for number in set(panes)) for pane in range(405)
        ]
        packed.add(state.pack())
    assert len(packed) == 1


def test_panes_know_nothing_of_items() -> None:
    panes = Panes()
    with pytest.raises(NotImplementedError):
        panes._place(5)
    panes.gaps.append(0)
    with pytest.raises(NotImplementedError):
        panes.expire(10)


def test_sums_that_fall_are_known() -> None:
    state = Numbers()
    assert not state.falls
    state.add(1, 5)
    assert not state.falls
    state.add(2, -1)
    assert state.falls
    state.add(2, 1)
    assert not state.falls


def test_a_thousand_values_are_told_apart_and_those_longest_unseen_go_first() -> None:
    state = Distinct()
    for number in range(MOST_DISTINCT):
        state.add(number, f"v{number}", (number, "m", "s"))
    assert state.reading(0) == MOST_DISTINCT
    state.add(0, "late", (0, "m", "s"))
    assert state.reading(0) == MOST_DISTINCT
    assert "late" not in state.seen
    state.add(0, "v5", (0, "m", "s"))
    assert state.seen["v5"] == 5
    state.add(2_000, "new", (2_000, "m", "s"))
    assert "v0" not in state.seen
    assert {"v1", "new"} <= state.seen.keys()
    assert len(state.seen) == MOST_DISTINCT


def test_a_pane_tells_a_thousand_frequencies_apart() -> None:
    state = Frequencies()
    for number in range(MOST_DISTINCT + 5):
        state.add(1, f"v{number}", (number, "m", "s"))
    assert len(state.panes[1]) == MOST_DISTINCT
    state.add(1, "v7", (5_000, "m", "s"))
    assert state.reading(0) == "v7"


def test_a_list_of_values_is_in_order() -> None:
    state = Distinct()
    for number, value in enumerate(("b", 10, True, "a", 9.5, False, "B", -1)):
        state.add(number, value, (number, "m", "s"))
    assert state.unique_list(0) == [False, True, -1, 9.5, 10, "B", "a", "b"]
    assert [type(each) for each in state.unique_list(0)][2] is int
    assert state.unique_list(3) == [False, -1, 9.5, "B", "a"]
    assert sorted(state.seen, key=in_order)[0] == (False,)


@pytest.mark.parametrize(
    "items",
    [
        [], [0], [255], [256], [65_535], [65_536], [2**32 - 1], [2**32], [2**64 - 1], [2**64], [10**30, 0, 1],
        list(range(300)), [7] * LONGEST,
    ],
)  # fmt: skip
def test_numbers_are_packed_and_unpacked(items: list[int]) -> None:
    for signed in [items, [-item for item in items], [*items, -1]] if len(items) < LONGEST else [items]:
        data = b"head" + pack_signed(signed) + b"tail"
        assert unpack(data, 4) == (signed, len(data) - 4)
    data = b"head" + pack_unsigned(items) + b"tail"
    assert unpack(data, 4) == (items, len(data) - 4)


def test_packed_numbers_take_the_bytes_that_the_largest_needs() -> None:
    sizes = {most: len(pack_unsigned([most] * 10)) - 3 for most in (255, 256, 65_535, 65_536, 2**32 - 1, 2**32)}
    assert sizes == {255: 10, 256: 20, 65_535: 20, 65_536: 40, 2**32 - 1: 40, 2**32: 80}
    sizes = {least: len(pack_signed([least] * 10)) - 3 for least in (-128, 127, -129, 128, -32_769, -(2**31) - 1)}
    assert sizes == {-128: 10, 127: 10, -129: 20, 128: 20, -32_769: 40, -(2**31) - 1: 80}


def test_doubles_are_packed_and_unpacked() -> None:
    items = [0.0, -0.5, 1e300, 5e-324]
    assert unpack_doubles(b"xy" + pack_doubles(items), 2) == items
