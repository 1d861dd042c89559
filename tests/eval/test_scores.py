"""The rows of meaning: gold answers score all, constant ones score one half, and shares are counted over the right answers."""

import pytest
import tiny_judge
from test_layers import IMPORTS, MODULES
from tiny_judge import accepter, gold, refuser, silent

from eval import scores
from eval.intervals import wilson
from eval.judged import Judge, from_json
from vgpt2.datagen.names.real import load_names


@pytest.fixture(scope="module")
def judge():
    with Judge(load_names(tiny_judge.CATALOGUE_FOLDER)) as found:
        yield found


@pytest.fixture
def judged(tmp_path, judge):
    items = tiny_judge.write_suite(tmp_path / "suite.jsonl")
    return lambda model: [judge(item, model(item)) for item in items]


def shares(judged_answers) -> dict[str, float]:
    return {row.key: row.share for row in scores.rows(judged_answers)}


def test_gold_answers_score_all_in_every_row(judged):
    rows = scores.rows(judged(gold))
    assert all(row.share == 1 for row in rows), [row for row in rows if row.share < 1]
    assert len(rows) == 3 * 3 + 1 + 5 + 3 + 3  # three existence groups, the column, SQL, SQL against gold, all answers


@pytest.mark.parametrize(("constant", "real", "fake"), [(accepter, 1, 0), (refuser, 0, 1), (silent, 0, 0)])
def test_a_constant_answer_scores_one_half_at_best(judged, constant, real, fake):
    found = shares(judged(constant))
    for group in ("exists_list", "exists_memory", "columns"):
        assert (found[f"{group}/real"], found[f"{group}/fake"]) == (real, fake)
        assert found[f"{group}/balanced"] == (real + fake) / 2
    assert not any(share for key, share in found.items() if key.startswith("sql/"))


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
    shown_only = {"sql/house", "sql/structure"}
    assert all(want is not None for key, want in wanted.items() if not key.startswith("exists_memory") and key not in shown_only)


def test_a_group_is_held_to_the_threshold_of_its_suite(judged):
    answers = judged(accepter)
    row = next(row for row in scores.rows(answers, {"exists_list": 0.95}) if row.key == "exists_list/right")
    assert (row.title, row.passed, row.n, row.want) == ("right answers, exists list", 10, 20, 0.95)
    others = {row.key: row.want for row in scores.rows(answers, {"exists_list": 0.95})}
    assert others["exists_list/real"] is None  # one goal a group
    assert others["columns/real"] is not None


def test_rates_by_hand(judged):
    rates = scores.rates(judged(accepter))
    # 21 real and 21 unreal names, every one accepted; such a claim of an unreal one is a hallucination; 4 questions are not about names
    assert (rates["false_rejection"], rates["false_acceptance"], rates["balanced_accuracy"]) == (0, 1, 0.5)
    assert rates["hallucination"] == pytest.approx(21 / 46)
    assert rates["resolves"] == 0
    perfect = scores.rates(judged(gold))
    good = "right resolves house_rules nolock whole_joins structure execution_match required_elements balanced_accuracy"
    assert {name for name, share in perfect.items() if share == 1} == set(good.split())
    assert all(share in (0, 1) for share in perfect.values())


def test_joins_are_counted_over_queries_that_need_one(judged):
    counts = {row.key: row.n for row in scores.rows(judged(gold))}
    assert (counts["sql/resolves"], counts["sql/join"]) == (3, 1)


def test_an_empty_answer_is_a_collapse(judged):
    assert shares(judged(silent))["all/sound"] == 0


def test_an_answer_goes_to_json_and_back(judged):
    from dataclasses import asdict

    answers = judged(lambda item: "```sql\nSELECT Fake FROM APTH\n```")
    assert [from_json(asdict(answer)) for answer in answers] == answers


def test_the_scorer_s_hash_covers_every_module_that_a_verdict_imports():
    found, todo = set(), ["eval.judged", "eval.scores"]
    while todo:
        name = todo.pop()
        if name not in found and name in MODULES:
            found.add(name)
            todo += IMPORTS[name]
    hashed = set(scores.scorer_files())
    assert all(path.is_file() for path in hashed)
    writes_files_only = {"vgpt2.atomic", "vgpt2", "eval"}
    empty = {name for name in found if not MODULES[name].stat().st_size}
    assert {name for name in found - writes_files_only - empty if MODULES[name] not in hashed} == set()


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
