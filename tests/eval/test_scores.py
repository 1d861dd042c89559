"""The rows of meaning: gold answers score all, constant ones score one half, and shares are counted over the right answers."""

import pytest
import tiny_judge
from tiny_judge import accepter, gold, refuser, silent

from eval import scores
from eval.intervals import wilson


@pytest.fixture
def judged(tmp_path):
    items, catalogue = tiny_judge.write_suite(tmp_path / "suite.jsonl"), tiny_judge.catalogue()
    return lambda model: [scores.judged_answer(item, model(item), catalogue) for item in items]


def shares(judged_answers) -> dict[str, float]:
    return {row.key: row.share for row in scores.rows(judged_answers)}


def test_gold_answers_score_all_in_every_row(judged):
    rows = scores.rows(judged(gold))
    assert all(row.share == 1 for row in rows), [row for row in rows if row.share < 1]
    assert len(rows) == 3 * 3 + 1 + 5 + 1  # three existence groups, the column, the SQL rows, collapse


@pytest.mark.parametrize(("constant", "real", "fake"), [(accepter, 1, 0), (refuser, 0, 1), (silent, 0, 0)])
def test_a_constant_answer_scores_one_half_at_best(judged, constant, real, fake):
    found = shares(judged(constant))
    for group in ("exists_list", "exists_memory", "columns"):
        assert (found[f"{group}/real"], found[f"{group}/fake"]) == (real, fake)
        assert found[f"{group}/balanced"] == (real + fake) / 2
    assert not any(found[f"sql_schema/{name}"] for name in ("resolves", "fitting", "join", "company", "nolock"))


def test_balanced_accuracy_weighs_both_kinds_alike_whatever_their_numbers(judged):
    """A constant accepter over nine real names and one unreal one is right in 90 % and worth one half."""
    answers = [a for a in judged(accepter) if a.group == "exists_list"]
    lopsided = [a for a in answers if a.real][:9] + [a for a in answers if not a.real][:1]
    assert shares(lopsided)["exists_list/balanced"] == 0.5


def test_counts_and_intervals_by_hand(judged):
    answers = judged(lambda item: gold(item) if item.id != "exists_list-APTX" else accepter(item))
    row = next(row for row in scores.rows(answers) if row.key == "exists_list/fake")
    assert (row.passed, row.n, row.share) == (9, 10, 0.9)
    assert (row.low, row.high) == wilson(9, 10)
    assert row.title == "fake objects refused, listed"


def test_memory_is_shown_and_not_wanted(judged):
    wanted = {row.key: row.want for row in scores.rows(judged(gold))}
    assert wanted["exists_memory/balanced"] is None
    assert all(want is not None for key, want in wanted.items() if not key.startswith("exists_memory"))


def test_joins_are_counted_over_queries_that_need_one(judged):
    counts = {row.key: row.n for row in scores.rows(judged(gold))}
    assert (counts["sql_schema/resolves"], counts["sql_schema/join"]) == (3, 1)


def test_an_empty_answer_is_a_collapse(judged):
    assert shares(judged(silent))["all/sound"] == 0


def test_an_answer_goes_to_json_and_back(judged):
    from dataclasses import asdict

    answers = judged(lambda item: "```sql\nSELECT Fake FROM APTH\n```")
    assert [scores.from_json(asdict(answer)) for answer in answers] == answers


def test_the_scorer_s_hash_changes_with_its_source_and_not_with_line_ends(monkeypatch, tmp_path):
    before = scores.scorer_hash()
    assert scores.scorer_hash() == before
    for ending, same in ((b"\r\n", True), (b" \n", False)):
        copy = tmp_path / "judging.py"
        with open(scores.vgpt2.judging.__file__, "rb") as source:
            copy.write_bytes(source.read().replace(b"\n", ending))
        with monkeypatch.context() as patch:
            patch.setattr(scores.vgpt2.judging, "__file__", str(copy))
            assert (scores.scorer_hash() == before) == same
