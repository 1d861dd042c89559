"""Correction questions: wrong SQL with a true diagnosis and right SQL behind it, and right SQL that is left as it is."""

import json
from collections import Counter, defaultdict
from dataclasses import replace
from random import Random

import pytest

from vgpt2.datagen.audit.gate import audit
from vgpt2.datagen.audit.report import render
from vgpt2.datagen.faults import FAULTS
from vgpt2.datagen.mistakes.corrections import MAKERS, TEMPLATES
from vgpt2.datagen.mistakes.diagnoses import diagnosis
from vgpt2.datagen.plans.plan import ColumnRef, Filter, Join, Output, Query, Source
from vgpt2.datagen.questions.recipes import preference_side, training_side
from vgpt2.datagen.questions.world import World
from vgpt2.datagen.sets import records
from vgpt2.sql.checker import check
from vgpt2.sql.extract import sql_blocks


def made(names, n, seed="1/corrections/0/0"):
    return [chat[0] for chat in MAKERS["corrections"](World(names, training_side(names)), n, seed)]


@pytest.fixture(scope="module")
def questions(core):
    return made(core, 400)


def test_the_answer_is_right_sql_where_the_question_holds_wrong_one_and_a_plain_yes_where_it_is_right(core, questions):
    kinds = Counter()
    for question in questions:
        (given,) = sql_blocks(question.ask)
        answered = sql_blocks(question.answer)
        if answered:
            assert answered == [question.expect["sql"]]
            assert given != answered[0]
            assert check(answered[0], core.catalogue) == []
        else:
            assert given == question.expect["sql"]
        kinds["right" if not answered else "found" if check(given, core.catalogue) else "semantic"] += 1
    assert len(questions) >= 395
    assert 0.15 < kinds["right"] / len(questions) < 0.35
    assert kinds["found"] > kinds["semantic"] > 60


def test_a_query_that_means_something_else_is_shown_with_what_was_asked_for(core, questions):
    for question in questions:
        (given,) = sql_blocks(question.ask)
        if sql_blocks(question.answer) and not check(given, core.catalogue):
            assert "{ask}" in next(t.text for t in TEMPLATES if t.id == question.template)


def test_no_sentence_tells_whether_the_query_is_right(questions):
    answers = defaultdict(list)
    for question in questions:
        answers[question.template].append(bool(sql_blocks(question.answer)))
    assert len(answers) == len(TEMPLATES)
    for found in answers.values():
        assert True in found
        assert False in found


@pytest.mark.parametrize("n", [90, 200])
def test_the_rows_pass_the_audit_on_two_databases(core, shop, shop_folder, tmp_path, n):
    for names, folder in ((core, "data/catalogues/vista-core"), (shop, shop_folder)):
        path = tmp_path / "sft.jsonl"
        rows = records.sft_rows([[question] for question in made(names, n)])
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        result = audit([path], catalogue=folder)
        assert result.passed, render(result)


def test_the_same_seed_gives_the_same_questions(core):
    assert made(core, 40) == made(core, 40)
    assert made(core, 40) != made(core, 40, "2/corrections/0/0")


APCO = Filter(ColumnRef("APTH", "APCo"), "=", "1")
KEY = tuple((ColumnRef("APTL", c), ColumnRef("APTH", c)) for c in ("APCo", "Mth", "APTrans"))
REF, GROSS = ColumnRef("APTH", "APRef"), ColumnRef("APTL", "GrossAmt")
RIGHT = Query(Source("APTH"), (Output(REF), Output(GROSS, "SUM", "Total")), (APCO,), (Join(Source("APTL"), KEY),), (REF,))


def other(**changes):
    return replace(RIGHT, **changes)


BY_HAND = {
    "missing_nolock": (other(source=Source("APTH", nolock=False)), "APTH is read without WITH (NOLOCK)."),
    "missing_company_filter": (
        other(filters=()),
        "The condition APTH.APCo = 1 is left out, so the rows of all companies are read.",
    ),
    "incomplete_join": (
        other(joins=(Join(Source("APTL"), KEY[:2]),)),
        "The join of APTL leaves out APTL.APTrans = APTH.APTrans, a part of the key.",
    ),
    "left_for_inner": (
        other(joins=(Join(Source("APTL"), KEY, "LEFT JOIN"),)),
        "Rows without a match in APTL are kept, although only matched ones are asked for; it takes a JOIN.",
    ),
    "other_aggregate": (
        other(outputs=(Output(REF), Output(GROSS, "AVG", "Total"))),
        "The question asks for SUM(APTL.GrossAmt), not for AVG(APTL.GrossAmt).",
    ),
    "invented_column": (
        other(outputs=(Output(ColumnRef("APTH", "InvNum")), RIGHT.outputs[1])),
        "APTH.InvNum does not exist; use APTH.APRef instead.",
    ),
    "no_group_by": (other(group_by=()), "APTH.APRef stands beside a total and is not in GROUP BY."),
    "limit_clause": ("SELECT 1 LIMIT 5", "In T-SQL the number of rows stands behind SELECT, as TOP."),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_a_diagnosis_says_what_a_reader_would(core, name):
    broken, says = BY_HAND[name]
    assert diagnosis(FAULTS[name], RIGHT, broken, core.catalogue) == says


def test_every_fault_has_a_diagnosis_of_its_own(core):
    """None falls back on what the fault teaches, where the broken plan differs from the right one in a part that is said."""
    side = preference_side(core)
    for fault in FAULTS.values():
        broken = fault.apply(RIGHT, side, Random(1))
        if broken is not None:
            said = diagnosis(fault, RIGHT, broken, core.catalogue)
            assert said.endswith(".")
            assert said.casefold() != f"{fault.teaches}.".casefold(), fault.name
