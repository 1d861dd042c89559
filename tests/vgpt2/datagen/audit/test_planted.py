"""planted.jsonl: a bad file made by hand. A row with `planted` has one defect, names the rule that must find it, and what it must name."""

import json
import shutil
from pathlib import Path

import pytest

from vgpt2.datagen.audit.gate import audit

HERE = Path(__file__).parent
CORE = HERE.parents[3] / "data" / "catalogues" / "vista-core"
SUITE = HERE.parents[3] / "eval" / "suites" / "demo.jsonl"
ROWS = [json.loads(line) for line in (HERE / "planted.jsonl").read_text("utf-8").splitlines()]
DEFECTS = {line: row for line, row in enumerate(ROWS, 1) if "planted" in row}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    path = shutil.copy(HERE / "planted.jsonl", tmp_path_factory.mktemp("planted") / "planted.jsonl")
    return audit([path], catalogue=CORE, suites=[SUITE]).files[0].outcomes


def test_fifteen_defects_and_more_are_planted():
    assert len(DEFECTS) >= 15
    assert len({row["planted"] for row in DEFECTS.values()}) >= 10


@pytest.mark.parametrize("line", DEFECTS)
def test_a_planted_defect_is_found_in_its_line_under_its_rule_by_its_name(outcomes, line):
    row = DEFECTS[line]
    said = [str(failure) for failure in outcomes[row["planted"]].failures]
    found = [text for text in said if f"planted.jsonl:{line}:" in text]
    assert found, (row["planted"], said)
    assert any(row["named"] in text for text in found), found


def test_nothing_else_is_found_wrong_about_names(outcomes):
    """A denial without an alternative is no wrong name, a table without a hint no unreal one."""
    for rule in ("unreal names in rewarded answers", "real names refused"):
        lines = {int(failure.where.rpartition(":")[2]) for failure in outcomes[rule].failures}
        planted = {n for n, row in DEFECTS.items() if row["planted"] in (rule, "unreal names accepted")}
        assert lines <= planted
