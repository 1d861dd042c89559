"""Distances between names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgpt2.sql.names import NameIndex, edit_distance

WORDS = st.text(alphabet="abcX", max_size=7)


def naive(a: str, b: str) -> int:
    """The definition, as a recursion: optimal string alignment."""
    if not a or not b:
        return len(a) + len(b)
    best = min(naive(a[:-1], b) + 1, naive(a, b[:-1]) + 1, naive(a[:-1], b[:-1]) + (a[-1] != b[-1]))
    if len(a) > 1 and len(b) > 1 and a[-1] == b[-2] and a[-2] == b[-1]:
        best = min(best, naive(a[:-2], b[:-2]) + 1)
    return best


@given(WORDS.filter(lambda w: len(w) < 5), WORDS.filter(lambda w: len(w) < 5), st.integers(0, 8))
def test_the_distance_is_that_of_the_definition_up_to_its_limit(a: str, b: str, limit: int) -> None:
    assert edit_distance(a, b, limit) == min(naive(a, b), limit + 1)


@pytest.mark.parametrize(
    ("a", "b", "distance"), [("APTH", "APHT", 1), ("APTH", "APTL", 1), ("APTH", "APTHH", 1), ("kitten", "sitting", 3), ("", "ab", 2)]
)
def test_edits_are_counted(a: str, b: str, distance: int) -> None:
    assert edit_distance(a, b, 9) == distance


@given(st.lists(WORDS, max_size=30), WORDS, st.integers(0, 5))
def test_what_is_nearest_is_real_and_another_name(names: list[str], name: str, n: int) -> None:
    found = NameIndex(names).nearest(name, n)
    assert set(found) <= set(names) - {name}
    assert len(found) == len(set(found)) <= n


def test_the_same_module_wins_a_tie() -> None:
    assert NameIndex(["ARTX", "APTX", "XPTH"]).nearest("APTH", 3, prefix=2) == ["APTX", "XPTH", "ARTX"]
