"""Few connections are shared as many are."""

import pytest

from services.segments.pools import Shares, shares


def test_all_of_them_are_what_they_were() -> None:
    assert shares(24) == Shares(catalog=6, exports=4, reads=8, segments=6)


@pytest.mark.parametrize("connections", range(7, 201))
def test_none_is_left_without_and_no_more_are_opened(connections: int) -> None:
    each = shares(connections)
    assert min(each.catalog, each.exports, each.reads, each.segments) >= 1
    assert each.total == connections
