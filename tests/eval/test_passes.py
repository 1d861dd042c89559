"""pass@k and all of k against a count over every choice of k answers."""

from dataclasses import replace
from itertools import combinations

import pytest

from eval.judged import Judged
from eval.passes import all_of, pass_at, passes

BASE = Judged("a", "sql", "g", "?", "", {}, right=False, collapse=None, reason="")


@pytest.mark.parametrize(("right", "drawn"), [(right, drawn) for drawn in range(1, 7) for right in range(drawn + 1)])
def test_both_equal_a_count_over_all_choices(right, drawn):
    answers = [n < right for n in range(drawn)]
    for k in range(1, drawn + 1):
        choices = list(combinations(answers, k))
        assert pass_at(k, right=right, drawn=drawn) == pytest.approx(sum(map(any, choices)) / len(choices))
        assert all_of(k, right=right, drawn=drawn) == pytest.approx(sum(map(all, choices)) / len(choices))


def test_means_over_questions():
    def drawn(*rights: bool) -> list[Judged]:
        return [replace(BASE, right=right) for right in rights]

    found = passes([drawn(True, False), drawn(True, True)])
    assert found == {"pass@1": 0.75, "pass@2": 1.0, "all of 2": 0.5}


@pytest.mark.parametrize(("k", "right", "drawn"), [(0, 0, 1), (2, 0, 1), (1, 2, 1)])
def test_nonsense_is_refused(k, right, drawn):
    with pytest.raises(ValueError, match="pass@"):
        pass_at(k, right=right, drawn=drawn)
