"""Models against their parents, question by question."""

import pytest
import tiny_judge
from tiny_judge import accepter, gold, refuser

from eval import report, suites
from eval.judged import Judge
from eval.paired import compare, sentence
from eval.report import Setting
from vgpt2.datagen.names.real import load_names


@pytest.fixture(scope="module")
def judge():
    with Judge(load_names(tiny_judge.CATALOGUE_FOLDER)) as found:
        yield found


@pytest.fixture
def judged_report(tmp_path, judge):
    path = tmp_path / "suite.jsonl"
    items = tiny_judge.write_suite(path)
    chosen = suites.load([str(path)])

    def build(name: str, model, kept=slice(None), retrieval="off") -> dict:
        setting = Setting(name, None, retrieval, "c", "p", {})
        return report.build(setting, chosen, [[judge(item, model(item))] for item in items[kept]], [])

    return build


def mostly_gold(*wrong: str):
    return lambda item: accepter(item) if item.id in wrong else gold(item)


def changes(comparison) -> dict[str, str | None]:
    return {line.cells[-1].row.key: line.last.change for line in comparison.lines}


def test_each_model_is_held_against_the_one_before_it(judged_report):
    comparison = compare([judged_report("base", accepter), judged_report("sft", gold), judged_report("dpo", gold)])
    line = next(line for line in comparison.lines if line.cells[0].row.key == "exists_list/fake")
    assert [(cell.gained, cell.lost, cell.change) for cell in line.cells] == [(0, 0, None), (10, 0, "better"), (0, 0, "same")]
    assert comparison.lost == []
    assert comparison.gate == []


def test_flips_that_cancel_out_are_seen(judged_report):
    """Two gained, two lost of twenty: the shares are equal and yet nobody can tell."""
    before = mostly_gold("exists_list-APTX", "exists_list-APHeader")
    after = mostly_gold("exists_list-Invoice", "exists_list-ARTHs")
    comparison = compare([judged_report("a", before), judged_report("b", after)])
    assert changes(comparison)["exists_list/fake"] == "cannot tell"
    assert sorted(comparison.lost) == ["exists_list-ARTHs", "exists_list-Invoice"]


def test_a_loss_beyond_chance_closes_the_gate_only_in_a_wanted_row(judged_report):
    worse = compare([judged_report("sft", gold), judged_report("dpo", accepter)])
    keys = {line.cells[0].row.key for line in worse.gate}
    assert {"exists_list/fake", "exists_list/balanced"} <= keys
    assert not any(key.startswith("exists_memory") for key in keys)
    assert changes(worse)["exists_memory/fake"] == "worse"


def test_the_balanced_row_of_constant_opposites_cannot_be_told_apart(judged_report):
    """Accepter and refuser are both worth one half: ten questions each way."""
    comparison = compare([judged_report("accepter", accepter), judged_report("refuser", refuser)])
    line = next(line for line in comparison.lines if line.cells[0].row.key == "exists_list/balanced")
    assert (line.last.gained, line.last.lost, line.last.change) == (10, 10, "cannot tell")
    assert [cell.row.share for cell in line.cells] == [0.5, 0.5]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"scorer": "another"}, "b: was judged with another scorer than a; judge both again with --answers"),
        ({"suites": {"suite": "another"}}, "b: was judged with other suites than a"),
        ({"catalogue": "another"}, "with another catalogue than a"),
        ({"limit": 5}, "with another --limit than a"),
    ],
)
def test_reports_under_other_rules_are_not_compared(judged_report, change, says):
    with pytest.raises(ValueError, match=says):
        compare([judged_report("a", gold), judged_report("b", gold) | change])


def test_reports_on_other_questions_are_not_compared(judged_report):
    with pytest.raises(ValueError, match="different questions"):
        compare([judged_report("a", gold), judged_report("b", gold, slice(5))])


def test_the_first_sentence_counts_rows_and_goals(judged_report):
    base, sft = judged_report("base", accepter), judged_report("sft", gold)
    goals = sum(line.want is not None for line in compare([sft]).lines)
    assert sentence(compare([sft])) == f"sft reaches {goals} of {goals} goals"
    both = compare([base, sft])
    better = sum(change == "better" for change in changes(both).values())
    wins = f"sft is better than base on {better} of {len(both.lines)} rows, worse on none"
    assert sentence(both) == f"{wins}; it reaches {goals} of {goals} goals"
    assert "worse on " in sentence(compare([sft, base]))
