"""Problems of rules, beyond those of the conformance cases."""

import pytest

from tests.oracle import Catalog, Problem, computed_trait_problems, problems
from tests.oracle.check_values import pointer
from tests.oracle.world import Json, JsonObject


@pytest.mark.parametrize(
    ("base", "key", "found"),
    [
        ("", "a", "/a"),
        ("/a", 0, "/a/0"),
        ("", "a/b", "/a~1b"),
        ("", "m~n", "/m~0n"),
        ("", "~1", "/~01"),
        ("/x", "", "/x/"),
    ],
)
def test_pointers(base: str, key: str | int, found: str) -> None:
    assert pointer(base, key) == found


def test_a_rule_that_is_right() -> None:
    rule = {"all": [{"segment": "vip"}, {"list": "press"}, {"trait": "computed.ltv", "op": "gte", "value": 5}]}
    catalog = Catalog(segments={"vip": {"event": "A"}}, lists={"press"}, computed_traits={"ltv"}, key="new")
    assert problems(rule, catalog) == set()
    assert problems(rule, Catalog()) == {
        Problem("unknown_segment", "/all/0/segment"),
        Problem("unknown_list", "/all/1/list"),
        Problem("unknown_computed_trait", "/all/2/trait"),
    }


def test_cycles_that_do_not_lead_back_end() -> None:
    segments: dict[str, JsonObject | None] = {
        "b": {"segment": "c"},
        "c": {"any": [{"segment": "b"}, {"not": {"segment": "b"}}]},
        "p": None,
    }
    assert problems({"all": [{"segment": "b"}, {"segment": "p"}]}, Catalog(segments=segments, key="a")) == set()


@pytest.mark.parametrize("junk", [None, True, 5, 2.5, "x", [], [[]], {}, {"": {}}, {"all": None}, {"event": {}}])
def test_junk_has_problems_and_raises_nothing(junk: Json) -> None:
    assert problems(junk, Catalog())
    assert computed_trait_problems(junk)
