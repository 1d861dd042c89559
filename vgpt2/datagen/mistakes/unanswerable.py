"""Pairs on what cannot be answered: a column asked for that is not there, beside SQL that invents it; and a real one, beside its denial.

Both directions are needed: a set that only rewards refusals teaches refusing. The questions are short lists, since a verdict is short.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from vgpt2.datagen.faults import REFUSES_REAL
from vgpt2.datagen.language import answers
from vgpt2.datagen.names.fakes import fake_column
from vgpt2.datagen.plans.plan import ColumnRef, expectation, render_sql
from vgpt2.datagen.queries.asks import Ask, as_query
from vgpt2.datagen.queries.compose import list_rows
from vgpt2.datagen.queries.context import Look, schema_text
from vgpt2.datagen.queries.draft import Draft
from vgpt2.datagen.queries.styles import SQL_ONLY, STYLES
from vgpt2.datagen.queries.wording import draw_phrase, draw_sentence, in_words
from vgpt2.datagen.queries.words import Words
from vgpt2.datagen.questions.question import Question, Subject
from vgpt2.datagen.questions.world import World
from vgpt2.sql.checker import check
from vgpt2.sql.names import NameIndex

RATIO = (0.75, 1.4)  # of the verdict's length to the SQL's: nothing makes the two alike
INVENTS = "invented_column"
_DRAWS = 200


def unanswerable(world: World, rng: Random) -> tuple[Question, str, str] | None:
    """(question for a column that is not there, fault, SQL that reads it)."""
    for _ in range(_DRAWS):
        found = _short_list(world, rng)
        if found is None:
            continue
        ask, ref = found
        table = world.side.catalogue.objects[ref.table]
        fake = fake_column(table, table.column_index[ref.column], rng)
        if fake is None:
            continue
        subject = Subject(f"{ref.table}.{fake.name}", False, str(ref))
        broken = replace(ask, shown=tuple(replace(r, column=fake.name) if r == ref else r for r in ask.shown))
        right, wrong = subject.verdict(real=False), answers.fenced(render_sql(as_query(broken)))
        if _are_alike(right, wrong):
            expect = {"name": subject.name, "exists": False}
            return _question(world, ask, rng, {ref: fake.name}, right, expect, subject), INVENTS, wrong
    return None


def refused(world: World, rng: Random) -> tuple[Question, str, str] | None:
    """(question with SQL for an answer, fault, an answer that denies a column it asks for)."""
    for _ in range(_DRAWS):
        found = _short_list(world, rng)
        if found is None:
            continue
        ask, ref = found
        sql = render_sql(as_query(ask))
        right = answers.fenced(sql)
        if not _are_alike(Subject(str(ref), True, str(ref)).verdict(real=False), right):
            continue
        others = [name for name in world.side.catalogue.objects[ref.table].column_names if name != ref.column]
        near = NameIndex(others).nearest(ref.column, 1) or [rng.choice(others)]
        wrong = Subject(str(ref), True, f"{ref.table}.{near[0]}").verdict(real=False)
        if _are_alike(wrong, right) and not check(sql, world.side.catalogue):
            return _question(world, ask, rng, {}, right, expectation(as_query(ask)), None), REFUSES_REAL, wrong
    return None


def _are_alike(verdict: str, sql: str) -> bool:
    return RATIO[0] <= len(verdict) / len(sql) <= RATIO[1]


def _short_list(world: World, rng: Random) -> tuple[Ask, ColumnRef] | None:
    """A list of one or two columns under at most one condition besides whose rows they are, and the column that is in question."""
    lexicon = world.lexicon
    ask = list_rows(Draft(lexicon, lexicon.table(rng.choice(lexicon.names)), rng, by_name=True))
    if ask is None or len(ask.shown) > 2 or len(ask.criteria) > 2:
        return None
    ref = rng.choice(ask.shown)
    used = {criterion.column for criterion in ask.criteria} | ({ask.sorting.by} if ask.sorting else set())
    return (ask, ref) if ref not in used else None


def _question(
    world: World,
    ask: Ask,
    rng: Random,
    instead: dict[ColumnRef | str, str],
    answer: str,
    expect: dict[str, object],
    subject: Subject | None,
) -> Question:
    """The list asked for by names, the SQL alone, with a schema text as often as other questions have one."""
    settings = world.queries
    phrase = draw_phrase(ask.kind, rng.choice(STYLES), rng, held_out=world.side.held_out)
    sentence = draw_sentence(phrase, rng, held_out=world.side.held_out)
    words = Words(world.lexicon, rng.choice(("names", "mixed")), rng, terse=sentence.style == "terse", instead=instead)
    text = in_words(ask, sentence, words)
    context = ""
    if rng.random() < settings.schema_text:
        look = Look(retrieved=rng.random() < settings.retrieved, create_table=rng.random() < settings.create_table)
        context = schema_text(world.lexicon, ask.refs, text, look, rng) + "\n\n"
    said = text + ("" if text[-1] in ".?!" else ".") + rng.choice(SQL_ONLY)
    query = None if subject else as_query(ask)
    return Question(f"sql_{ask.kind}", phrase.template, context, said, answer, (ask.table,), expect, subject=subject, query=query)
