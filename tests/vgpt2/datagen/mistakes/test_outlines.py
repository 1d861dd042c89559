"""The lines that a broken query changes are said as the answers' own plans say them: on right queries the two are equal."""

from random import Random

from vgpt2.datagen.mistakes.outlines import outline, wrong_answer
from vgpt2.datagen.plans.plan import ColumnRef, Filter, Join, Output, Query, Source
from vgpt2.datagen.queries.answering import plan
from vgpt2.datagen.queries.asks import as_query
from vgpt2.datagen.queries.compose import KINDS
from vgpt2.datagen.queries.draft import Draft
from vgpt2.datagen.queries.lexicon import Lexicon
from vgpt2.datagen.questions.recipes import preference_side


def test_on_right_queries_of_every_kind_the_lines_are_those_of_the_answers(core):
    lexicon, seen = Lexicon(preference_side(core)), set()
    for number in range(400):
        rng = Random(number)
        kind = list(KINDS)[number % len(KINDS)]
        ask = KINDS[kind][0](Draft(lexicon, lexicon.table(rng.choice(lexicon.names)), rng, by_name=number % 3 == 0))
        if ask is not None:
            written = dict(line.split(": ", 1) for line in plan(ask, lexicon, max_tokens=10_000).splitlines())
            del written["Rows"]
            assert outline(as_query(ask), core.catalogue) == written
            seen.add(kind)
    assert seen == set(KINDS)


APCO = Filter(ColumnRef("APTH", "APCo"), "=", "1")
RIGHT = Query(Source("APTH"), (Output(ColumnRef("APTH", "InvTotal"), "SUM", "Total"),), (APCO,))
KEY = tuple((ColumnRef("APTL", c), ColumnRef("APTH", c)) for c in ("APCo", "Mth", "APTrans"))
ANSWER = "Rows: APTH, AP transaction header\nFilter: APCo = 1\nGrain: one row in all\nOutput: sum of InvTotal\n\n```sql\nSELECT ...\n```"


def test_a_join_that_should_not_be_there_stands_in_the_plan_too(core):
    broken = Query(RIGHT.source, RIGHT.outputs, RIGHT.filters, (Join(Source("APTL"), KEY),))
    text, _, sql = wrong_answer(ANSWER, RIGHT, broken, core.catalogue).partition("\n\n```sql\n")
    assert text.splitlines()[:3] == ["Rows: APTH, AP transaction header", "Join: APTL on APCo, Mth, APTrans", "Filter: APCo = 1"]
    assert "JOIN APTL" in sql


def test_a_fault_of_writing_leaves_the_plan_as_it_is(core):
    assert wrong_answer(ANSWER, RIGHT, "SELECT 1 LIMIT 2", core.catalogue) == ANSWER.replace("SELECT ...", "SELECT 1 LIMIT 2")


def test_an_answer_without_a_plan_stays_without(core):
    broken = Query(RIGHT.source, RIGHT.outputs)
    assert wrong_answer("```sql\nSELECT ...\n```", RIGHT, broken, core.catalogue).startswith("```sql\nSELECT SUM(APTH.InvTotal)")
