import operator
from itertools import count, islice

import pytest

from vgpt2.workers import Crew, in_order

CREW = Crew("counting", "do it by hand")


@pytest.mark.parametrize("workers", [0, 2])
def test_results_come_in_the_order_of_the_jobs(workers):
    results = in_order(operator.pow, 3, range(20), workers=workers, crew=CREW, place=str)
    assert list(results) == [3**n for n in range(20)]


def test_jobs_are_taken_as_they_are_needed_and_workers_end_with_the_generator():
    """An endless source of jobs: what is not asked for is not made."""
    taken = []
    results = in_order(operator.add, 1, (taken.append(n) or n for n in count()), workers=2, crew=CREW, place=str)
    assert list(islice(results, 10)) == list(range(1, 11))
    results.close()
    assert len(taken) < 40


def test_without_jobs_there_is_no_result():
    assert list(in_order(operator.add, 1, [], workers=1, crew=CREW, place=str)) == []
