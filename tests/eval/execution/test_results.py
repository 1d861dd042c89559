"""Results compared: rows as a multiset, columns in any order, numbers within a tolerance, order where it is asked for."""

import pytest

from eval.execution.results import is_empty, same

GOLD = [(1, "a", 2.5), (2, "b", 2.5), (2, "b", 2.5)]


@pytest.mark.parametrize(
    ("other", "equal"),
    [
        (GOLD, True),
        (GOLD[::-1], True),
        ([(c, a, b) for a, b, c in GOLD], True),  # columns in another order
        ([(a, b + "  ", c + 1e-9) for a, b, c in GOLD], True),
        ([(float(a), b, c) for a, b, c in GOLD], True),
        (GOLD[:2], False),  # a row less
        ([GOLD[0], GOLD[0], GOLD[1]], False),  # the same rows, another number of each
        ([(a, b, c + 0.01) for a, b, c in GOLD], False),
        ([(a, b) for a, b, _ in GOLD], False),
        ([(a, c, c) for a, _, c in GOLD], False),
        ([(a, None, c) for a, _, c in GOLD], False),
        ([(2, "a", 2.5), (1, "b", 2.5), (2, "b", 2.5)], False),  # equal column by column, not row by row
    ],
)
def test_rows_are_a_multiset_and_columns_have_no_order(other, equal):
    assert same(GOLD, other) == equal


def test_columns_that_hold_the_same_values_are_told_apart_by_their_rows():
    assert same([(1, 2), (2, 1), (3, 3)], [(2, 1), (1, 2), (3, 3)])
    assert same([(1, 2, 1), (2, 1, 2)], [(1, 2, 2), (2, 1, 1)])  # the second column first
    assert not same([(1, 2), (2, 3), (3, 1)], [(1, 1), (2, 2), (3, 3)])


def test_sort_keys_behind_the_outputs_are_not_compared():
    assert same([(1, "x"), (2, "y")], [(1,), (2,)], keys=(1,), is_ordered=True, width=1)
    assert not same([(1, "x"), (2, "y")], [(2,), (1,)], keys=(1,), is_ordered=True, width=1)


def test_columns_may_be_left_over_only_where_that_is_allowed():
    wider = [(9, b, c, a) for a, b, c in GOLD]
    assert not same(GOLD, wider)
    assert same(GOLD, wider, may_have_more=True)
    assert not same(GOLD, [(9, b, a) for a, b, c in GOLD], may_have_more=True)
    assert not same(wider, GOLD, may_have_more=True)


def test_dates_at_midnight_equal_dates():
    assert same([("2025-05-01 00:00:00",)], [("2025-05-01",)])
    assert not same([("2025-05-01 10:00:00",)], [("2025-05-01",)])


def test_order_counts_when_asked_for_and_equal_keys_may_change_places():
    rows = [(1, "x"), (1, "y"), (2, "z")]
    swapped = [(1, "y"), (1, "x"), (2, "z")]
    assert same(rows, swapped, keys=(0,), is_ordered=True)
    assert not same(rows, swapped, keys=(0, 1), is_ordered=True)
    assert not same(rows, rows[::-1], keys=(0,), is_ordered=True)
    assert not same(rows, swapped, is_ordered=True)  # keys unknown: every place counts


@pytest.mark.parametrize(("rows", "empty"), [([], True), ([(None, 0)], True), ([(0,)], True), ([(0,), (0,)], False), ([(1, None)], False)])
def test_a_result_that_says_nothing(rows, empty):
    assert is_empty(rows) == empty
