"""The suites made from a catalogue: numbers and thresholds, right answers that stand, names held out, and what constant answers score."""

import json
import re
from pathlib import Path
from random import Random

import pytest
import tiny_judge

from vgpt2.datagen.__main__ import main
from vgpt2.datagen.audit.rules import held_out
from vgpt2.datagen.language.similarity import normalised
from vgpt2.datagen.names.fakes import column_guesses, fake_column
from vgpt2.datagen.sets import wide
from vgpt2.datagen.suites import by_name
from vgpt2.judging import existence, judge, read_items
from vgpt2.sql.checker import check
from vgpt2.sql.glossary import find_glossary
from vgpt2.sql.structure import structure

SUITES = Path(__file__).parents[4] / "eval" / "suites"
CORE = Path(__file__).parents[4] / "data" / "catalogues" / "vista-core"
SHIPPED = ("demo", "validation", "probe", "plain", "hard")
MADE = {
    "validation": {"schema": 100, "sql": 150, "hallucination": 100, "joins": 50, "corrections": 50, "business": 50},
    "probe": {f"probe_{kind}": 100 for kind in ("near_miss", "wrong_module", "words", "ending", "case")},
}
FENCED = re.compile(r"```sql\n(.*?)\n```", re.DOTALL)
WORD = re.compile(r"[A-Za-z_]\w*")


def rows_of(name: str) -> list[dict]:
    return [json.loads(line) for line in (SUITES / f"{name}.jsonl").read_text("utf-8").splitlines()]


def manifest_of(name: str) -> dict:
    return json.loads((SUITES / f"{name}.jsonl.manifest.json").read_text("utf-8"))


@pytest.mark.parametrize("name", MADE)
def test_the_shipped_file_is_what_its_command_makes(tmp_path, name):
    """Whoever changes what a suite holds raises its version and writes it anew: python -m vgpt2.datagen suite NAME --out eval/suites ..."""
    assert main(["suite", name, "--catalogue", str(CORE), "--out", str(tmp_path), "--seed", "1"]) == 0
    assert (tmp_path / f"{name}.jsonl").read_bytes() == (SUITES / f"{name}.jsonl").read_bytes()
    assert manifest_of(name)["version"] == by_name.VERSIONS[name]


@pytest.mark.parametrize("name", MADE)
def test_a_suite_holds_its_numbers(name):
    rows = rows_of(name)
    assert {group: sum(row["group"] == group for row in rows) for group in MADE[name]} == MADE[name]
    assert len(rows) == len({row["id"] for row in rows}) == 500
    assert len({row["messages"][-1]["content"] for row in rows}) == 500


def test_validation_says_what_each_group_must_reach():
    assert manifest_of("validation")["thresholds"] == {
        "schema": 0.95,
        "sql": 0.90,
        "hallucination": 0.95,  # less than 5 % hallucinated
        "joins": 0.90,
        "corrections": 0.85,
        "business": 0.90,
    }


def test_the_probe_asks_a_hundred_names_five_times_half_of_them_real(core):
    asked: dict[str, set[str]] = {}
    for row in rows_of("probe"):
        asked.setdefault(row["expect"]["name"], set()).add(row["template"])
        assert core.is_object(row["expect"]["name"]) is row["expect"]["exists"]
    assert len(asked) == 100
    assert {len(templates) for templates in asked.values()} == {5}
    assert sum(core.is_object(name) for name in asked) == 50


@pytest.mark.parametrize("name", MADE)
def test_right_answers_are_right_to_the_judge(core, name):
    for item in read_items(SUITES / f"{name}.jsonl"):
        if item.kind == "sql":
            assert check(item.expect["sql"], core.catalogue) == [], item.id
        nothing = item.kind == "abstain" or (item.kind == "column" and item.expect["column"] is None)
        answer = f"No column of {item.expect.get('table', 'APTH')} holds that." if nothing else tiny_judge.gold(item)
        verdict = judge(item, answer, core.catalogue)
        assert verdict.right, (item.id, verdict.reason)


def test_the_query_to_be_put_right_is_wrong(core):
    """The checker finds something in it, or it is another query."""
    rows = [row for row in rows_of("validation") if row["group"] == "corrections"]
    assert len({row["fault"] for row in rows}) >= 40
    for row in rows:
        (wrong,) = FENCED.findall(row["messages"][0]["content"])
        right = row["expect"]["sql"]
        assert wrong != right, row["id"]
        is_other = structure(wrong, core.catalogue) != structure(right, core.catalogue) or normalised(wrong) != normalised(right)
        assert check(wrong, core.catalogue) or is_other, row["id"]


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("answer", [tiny_judge.refuser, tiny_judge.accepter], ids=["refuser", "accepter"])
def test_a_constant_answer_gains_nothing(core, name, answer):
    """Where existence is asked its balanced accuracy is one half; no query is right."""
    items = read_items(SUITES / f"{name}.jsonl")
    said = {True: [], False: []}
    for item in items:
        if item.kind == "exists":
            wanted = "accepts" if item.expect["exists"] else "refuses"
            said[item.expect["exists"]].append(existence(answer(item), item.expect["name"]) == wanted)
        elif item.kind == "sql":
            assert not judge(item, answer(item), core.catalogue).right, item.id
    if any(said.values()):
        shares = [sum(right) / len(right) for right in said.values()]
        assert sum(shares) / 2 == 0.5


def test_half_of_what_could_be_hallucinated_is_there(core):
    """So many real names and answerable questions, so many unreal names and questions for what is not there."""
    rows = [row for row in rows_of("validation") if row["group"] == "hallucination"]
    there = [row for row in rows if row["kind"] == "sql" or (row["kind"] == "exists" and row["expect"]["exists"])]
    assert (len(there), len(rows)) == (50, 100)


@pytest.mark.parametrize("name", ["demo", "probe"])
def test_each_group_that_asks_for_existence_has_as_many_real_as_unreal_names(name):
    rows = [row for row in rows_of(name) if row["kind"] == "exists"]
    for group in {row["group"] for row in rows}:
        real = [row["expect"]["exists"] for row in rows if row["group"] == group]
        assert 2 * sum(real) == len(real), group


def test_nothing_of_a_suite_stands_in_a_wide_training_set(core):
    """No prompt, no sentence, no invented name, and no object that a suite's prompt shows."""
    held = held_out([row for name in SHIPPED for row in rows_of(name)])
    assert min(len(held.names), len(held.templates)) > 100
    world = wide.make_world(core, wide.load_wide(CORE.parents[2] / wide.DEFAULT_FILE), find_glossary(CORE, core.catalogue))
    asked = 0
    for category, maker in wide.makers().items():
        for question in (question for chat in maker(world, 120, f"leaks/{category}") for question in chat):
            asked += 1
            assert not {normalised(question.prompt), normalised(question.ask)} & held.prompts, question.ask
            assert question.template not in held.templates
            words = {word for text in (question.ask, question.answer) for word in WORD.findall(text)}
            assert not words & held.names, (question.template, words & held.names)
    assert asked > 1000


def test_what_a_prompt_shows_is_held_out_and_what_is_asked_from_memory_is_not(core):
    for row in rows_of("validation"):
        shown = row["messages"][0]["content"].count("\n") > 0
        held = [name for name in row["held_out"] if core.catalogue.has(name)]
        assert all(name in core.held_out for name in held), row["id"]
        if not shown:
            assert not held, row["id"]
            assert not any(name in core.held_out for name in row["objects"]), row["id"]


def test_invented_names_are_no_real_name_in_any_case_but_where_the_case_is_the_question(core):
    guesses = column_guesses(core.catalogue)
    for name in ("validation", "probe"):
        for row in rows_of(name):
            unreal = row["kind"] == "exists" and not row["expect"]["exists"] and "." not in row["expect"]["name"]
            if unreal and row["group"] != "probe_case":
                assert core.is_unreal(row["expect"]["name"]), row["id"]
                assert row["expect"]["name"] in row["held_out"], row["id"]
                assert row["expect"]["name"].casefold() not in guesses, row["id"]


def test_guesses_at_columns_are_all_that_is_made_but_for_slips_of_the_keyboard(core):
    guesses, rng, kinds = column_guesses(core.catalogue), Random(1), set()
    for table in list(core.catalogue.objects.values())[:60]:
        fake = fake_column(table, rng.choice(table.columns), rng)
        if fake and fake.kind != "near_miss":
            kinds.add(fake.kind)
            assert fake.name.casefold() in guesses
    assert kinds == {"camel", "suffix", "plural"}


def test_a_catalogue_without_words_gives_what_it_can(tmp_path, shop_folder):
    for name in MADE:
        assert main(["suite", name, "--catalogue", str(shop_folder), "--out", str(tmp_path)]) == 0
        items = read_items(tmp_path / f"{name}.jsonl")
        assert len({item.id for item in items}) == len(items) >= 50


def test_an_unknown_suite_is_refused(tmp_path, capsys):
    assert main(["suite", "prob", "--catalogue", str(CORE), "--out", str(tmp_path)]) == 2
    assert "none of that name; known are demo, validation, probe" in capsys.readouterr().err
