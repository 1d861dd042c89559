"""Gold answers to every question of every suite are right: what is asked can be answered, and its query runs and returns rows."""

from pathlib import Path

import pytest
from tiny_judge import gold

from eval import scores, suites
from eval.execution.match import is_available
from eval.judged import Judge
from vgpt2.datagen.names.real import load_names

CORE = Path(__file__).parents[2] / "data" / "catalogues" / "vista-core"


@pytest.fixture(scope="module")
def judge():
    if not is_available():
        pytest.skip("needs sqlglot, which translates for the judge")
    with Judge(load_names(CORE)) as found:
        yield found


@pytest.mark.parametrize("name", ["plain", "hard", "validation", "demo", "probe"])
def test_gold_answers_score_all(name, judge):
    (suite,) = suites.load([name])
    judged = [judge(item, gold(item)) for item in suite.items]
    assert [(a.id, a.reason) for a in judged if not a.right or a.unreal] == []
    assert {a.result for a in judged if a.kind == "sql"} <= {"same"}
    assert all(row.share == 1 for row in scores.rows(judged, suite.thresholds))
