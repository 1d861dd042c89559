"""The suites, run: every gold query returns rows on the judge's synthetic tables, and the same rows again."""

from pathlib import Path

import pytest

from eval import suites
from eval.execution.match import Runner, is_available
from vgpt2.sql.catalogue import load_catalogue

CORE = Path(__file__).parents[2] / "data" / "catalogues" / "vista-core"


@pytest.mark.parametrize("name", ["plain", "hard", "validation"])
def test_every_gold_query_runs_and_returns_something(name):
    if not is_available():
        pytest.skip("needs sqlglot, which translates for the judge")
    (suite,) = suites.load([name])
    with Runner(load_catalogue(CORE)) as runner:
        for item in (item for item in suite.items if item.kind == "sql"):
            found = runner.match(item.expect["sql"], item.expect["sql"])
            assert found.verdict == "same", (item.id, found.reason)
