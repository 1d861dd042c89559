"""Suites written by hand: what a file may hold, and the shipped ones: every right answer stands, and says what its row says."""

import json
import os
from pathlib import Path

import pytest

from vgpt2.datagen.__main__ import main
from vgpt2.datagen.suites import written
from vgpt2.judging import judge, read_items
from vgpt2.sql.catalogue import load_catalogue
from vgpt2.sql.checker import check
from vgpt2.sql.structure import as_data, structure

SUITES = Path(__file__).parents[4] / "eval" / "suites"
FULL = Path(os.environ.get("VGPT2_FULL_CATALOGUE", Path(__file__).parents[5] / "shared" / "data" / "vista"))
CORE = Path(__file__).parents[4] / "data" / "catalogues" / "vista-core"
SIZES = {"plain": 100, "hard": 40}
GOOD = "- ask: Whom do we owe?\n  area: payables\n  sql: SELECT APTH.Vendor FROM APTH WITH (NOLOCK) WHERE APTH.APCo = 1\n"


def shipped(name: str) -> list[dict]:
    return [json.loads(line) for line in (SUITES / f"{name}.jsonl").read_text("utf-8").splitlines()]


def answers(row: dict) -> list[dict]:
    """The right answers of a row; none where it cannot be answered."""
    return [row["expect"], *row["expect"].get("accepts", ())] if row["kind"] == "sql" else []


@pytest.mark.parametrize("name", SIZES)
def test_every_right_answer_stands_and_has_the_structure_its_row_states(core, name):
    rows = shipped(name)
    assert len({row["id"] for row in rows}) == len(rows) == SIZES[name]
    for row in rows:
        for answer in answers(row):
            assert check(answer["sql"], core.catalogue) == [], row["id"]
            found = structure(answer["sql"], core.catalogue)
            stated = {key: value for key, value in answer.items() if key not in ("accepts", "more_columns")}
            assert {**as_data(found), "sql": answer["sql"]} == stated, row["id"]
            assert found.tables, row["id"]
            assert found.columns or found.aggregates, row["id"]


@pytest.mark.parametrize("name", SIZES)
def test_no_two_questions_or_right_answers_of_a_question_are_alike(name):
    rows = shipped(name)
    assert len({row["messages"][0]["content"].casefold() for row in rows}) == len(rows)
    for row in rows:
        assert len({answer["sql"] for answer in answers(row)}) == len(answers(row)), row["id"]


@pytest.mark.parametrize("name", SIZES)
def test_the_shipped_file_is_what_its_command_makes(tmp_path, name):
    arguments = ["suite", str(SUITES / f"{name}.yaml"), "--catalogue", str(CORE), "--out", str(tmp_path), "--seed", "1"]
    assert main(arguments) == 0
    assert (tmp_path / f"{name}.jsonl").read_bytes() == (SUITES / f"{name}.jsonl").read_bytes()
    manifest = f"{name}.jsonl.manifest.json"
    made, kept = (json.loads((folder / manifest).read_text("utf-8")) for folder in (tmp_path, SUITES))
    for key in ("suite", "version", "sha256", "catalogue", "rows", "by_category", "blind", "accepted_answers"):
        assert made[key] == kept[key], key


@pytest.mark.parametrize("name", SIZES)
def test_the_judge_accepts_every_gold_answer(core, name):
    for item in read_items(SUITES / f"{name}.jsonl"):
        answer = f"```sql\n{item.expect['sql']}\n```" if item.kind == "sql" else "No table of the catalogue holds that."
        verdict = judge(item, answer, core.catalogue)
        assert verdict.right, (item.id, verdict.reason)


def test_what_the_bundled_catalogue_lacks_is_asked_for_too(core):
    """Eight plain questions that the whole database answers."""
    lacking = [row for row in shipped("plain") if row["kind"] == "abstain"]
    answered = {row["messages"][0]["content"] for row in shipped("plain-vista")}
    assert len(lacking) == 8
    assert all(row["blind"] and row["messages"][0]["content"] in answered for row in lacking)
    query = "```sql\nSELECT PREH.LastName FROM PREH WITH (NOLOCK) WHERE PREH.PRCo = 1\n```"
    items = {item.id: item for item in read_items(SUITES / "plain.jsonl")}
    assert not any(judge(items[row["id"]], query, core.catalogue).right for row in lacking)


def test_at_least_half_of_the_plain_questions_share_no_word_with_the_names_of_their_objects():
    rows = [row for row in shipped("plain") if row["kind"] == "sql"]
    apart = [not written.shared_words(row["messages"][0]["content"], row["expect"]["tables"]) for row in rows]
    assert sum(apart) >= len(rows) / 2


def test_the_plain_questions_beyond_the_bundled_catalogue_stand_on_the_whole_one(core):
    if not FULL.is_dir():
        pytest.skip("needs the full catalogue; VGPT2_FULL_CATALOGUE names its folder")
    full, rows = load_catalogue(FULL), shipped("plain-vista")
    assert len(rows) == 16
    for row in rows:
        for answer in answers(row):
            assert check(answer["sql"], full) == [], row["id"]
            assert as_data(structure(answer["sql"], full))["tables"] == answer["tables"]
            assert any(not core.catalogue.has(table) for table in answer["tables"]), "the bundled catalogue cannot answer it"


def test_words_are_shared_whatever_their_case_and_with_parts_of_names():
    assert written.shared_words("the APTH of a work order", ["APTH", "SMWorkOrder"]) == {"apth", "work", "order"}
    assert written.shared_words("bills we paid", ["APTH", "SMWorkOrder"]) == set()


def test_a_question_becomes_a_row_that_states_its_answers(tmp_path, core):
    path = tmp_path / "own.yaml"
    path.write_text(GOOD + "  accepts: [SELECT APTD.Amount FROM APTD WITH (NOLOCK) WHERE APTD.APCo = 1]\n  blind: false\n", "utf-8")
    (row,) = written.rows(written.read(path), "own", core.catalogue)
    assert (row["id"], row["group"], row["kind"], row["blind"]) == ("own-001", "own_one_table", "sql", False)
    assert row["expect"]["filters"] == [["APTH.APCo", "=", "1"]]
    assert row["expect"]["accepts"][0]["tables"] == ["APTD"]
    assert row["expect"]["more_columns"], "an answer may show more than was asked for"
    assert "objects" not in row, "real objects are not held out where the prompt shows none"


def test_a_question_without_an_answer_says_what_is_missing(tmp_path, core):
    path = tmp_path / "own.yaml"
    path.write_text("- ask: How is the weather?\n  area: none\n  missing: weather\n", "utf-8")
    (row,) = written.rows(written.read(path), "own", core.catalogue)
    assert (row["kind"], row["group"], row["expect"]) == ("abstain", "own_unanswerable", {"why": "weather", "tables": []})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no list of questions"),
        ("a: [", "cannot be read as YAML"),
        ("- just words", "question 1: is a str"),
        (GOOD + "- ask: Why?\n  area: x\n", "question 2: has none of 'sql' and 'missing'"),
        (GOOD + "  missing: debts\n", "question 1: has both of 'sql' and 'missing'"),
        (GOOD.replace("area", "aera"), "field 'area' is missing"),
        (GOOD + "  table: APTH\n", "unknown field 'table'"),
        (GOOD + "  accepts: [1]\n", "must be a list of SQL texts"),
    ],
)
def test_a_file_with_a_mistake_is_refused_by_place(tmp_path, text, message):
    path = tmp_path / "own.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(ValueError, match=message):
        written.read(path)


def test_gold_sql_with_a_finding_is_refused(tmp_path, core, capsys):
    path = tmp_path / "own.yaml"
    path.write_text(GOOD.replace("APTH.Vendor", "APTH.InvNum"), "utf-8")
    assert main(["suite", str(path), "--catalogue", str(CORE), "--out", str(tmp_path)]) == 2
    assert "own: question 1: unknown_column in its SQL" in capsys.readouterr().err
