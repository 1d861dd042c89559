"""Questions answered by SQL: a drawn query is told in words or in names, below the schema text, and rendered in house style.

Where `real` is False one thing asked for is absent (a column, a table, or data that no column holds), and the answer says so instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random

from vgpt2.datagen import drafts, english
from vgpt2.datagen.drafts import Draft
from vgpt2.datagen.fakes import fake_column, fake_object
from vgpt2.datagen.phrasings import Template
from vgpt2.datagen.plan import ColumnRef, expectation, fenced, nothing_holds, render_sql
from vgpt2.datagen.questions import Question, Side, Subject, absent_gloss
from vgpt2.sql.render import render_compact
from vgpt2.sql.schema import Object

DRAFTS: dict[str, Callable[[Side, Random], Draft | None]] = {
    "sql_select": drafts.draft_select,
    "sql_count": drafts.draft_count,
    "sql_total": drafts.draft_total,
    "sql_join": drafts.draft_join,
}


def sql_question(kind: str, side: Side, template: Template, real: bool, rng: Random) -> Question | None:
    """A question of one of the kinds of `DRAFTS`; None where the draw fits no object."""
    draft = DRAFTS[kind](side, rng)
    if draft is None:
        return None
    in_words = rng.random() < 0.55 and all(english.things(o.description) for o in draft.objects)
    schema = schema_text(side, draft, rng)
    if not real:
        return _absent(kind, side, template, schema, draft, in_words, rng)
    prompt = f"{schema}\n\n{template.fill(**_slots(draft, in_words))}"
    answer = fenced(render_sql(draft.query))
    return Question(kind, template.id, prompt, answer, draft.query.tables, expectation(draft.query), query=draft.query)


def schema_text(side: Side, draft: Draft, rng: Random) -> str:
    """The asked objects, pruned to what is needed and a little more; a single one in two of five cases beside one that is not needed."""
    shown = [side.schema_part(o, [*draft.needed(o.name), *_some(o, 2, rng)]) for o in draft.objects]
    if not draft.others and rng.random() < 0.4:
        neighbours = [o for o in side.schema_objects() if o.module == draft.driving.module and o.name != draft.driving.name]
        short = [o for o in neighbours if len(o.business_key) < 5]
        shown += [side.schema_part(o, _some(o, 2, rng)) for o in rng.sample(short, min(1, len(short)))]
    rng.shuffle(shown)
    return render_compact(shown, catalogue=side.catalogue if draft.others else None)


def _absent(kind: str, side: Side, template: Template, schema: str, draft: Draft, in_words: bool, rng: Random) -> Question | None:
    table = draft.driving
    slot = next((s for s in ("columns", "amount") if s in draft.asked), None)
    replaced = draft.asked[slot][-1] if slot else None
    subject: Subject | None = None
    expect: dict[str, object]
    if in_words:
        gloss = absent_gloss(side, table, rng)
        if gloss is None:
            return None
        slots = _slots(draft, in_words, {replaced: gloss} if replaced else {})
        if replaced is None:
            slots["filters"] += f" and {gloss} {rng.randint(2, 90)}"
        answer, expect = nothing_holds(table.name, gloss), {"table": table.name, "column": None}
    else:
        by_column = replaced if rng.random() < 0.6 else None
        subject = _absent_column(table, by_column, rng) if by_column else _absent_table(side, table, rng)
        if subject is None:
            return None
        slots = _slots(draft, in_words, {by_column: subject.name if draft.others else subject.name.partition(".")[2]} if by_column else {})
        if by_column is None:
            slots["rows"] = f"{subject.name} rows"
        answer, expect = subject.verdict(real=False), {"name": subject.name, "exists": False}
    prompt = f"{schema}\n\n{template.fill(**slots)}"
    return Question(kind, template.id, prompt, answer, draft.query.tables, expect, subject=subject)


def _absent_column(table: Object, asked: ColumnRef, rng: Random) -> Subject | None:
    column = table.column_index[asked.column]
    fake = fake_column(table, column, rng)
    if fake is None:
        return None
    return Subject(f"{table.name}.{fake.name}", False, english.gloss(column.description) or "a column", str(asked))


def _absent_table(side: Side, table: Object, rng: Random) -> Subject | None:
    fake = fake_object(side.names, table.name, ("near_miss", "camel", "suffix", "plural"), split=side.split, rng=rng)
    if fake is None:
        return None
    return Subject(fake.name, False, english.noun(table.description) or f"a {table.kind}", table.name)


def _slots(draft: Draft, in_words: bool, said: Mapping[ColumnRef, str] | None = None) -> dict[str, str]:
    """The sentence's parts; `said` overrides what single columns are called."""
    index = {o.name: o for o in draft.objects}

    def called(ref: ColumnRef) -> str:
        if said and ref in said:
            return said[ref]
        words = english.gloss(index[ref.table].column_index[ref.column].description) if in_words else None
        return words or (str(ref) if draft.others else ref.column)  # two tables: a bare name could be of either

    slots = {slot: english.listing([called(ref) for ref in refs]) for slot, refs in draft.asked.items()}
    rows = [(english.things(o.description) if in_words else None) or f"{o.name} rows" for o in draft.objects]
    slots["rows"], slots["others"] = rows[0], rows[-1]
    slots["filters"] = english.listing([c.words if in_words else c.names for c in draft.conditions])
    return slots


def _some(table: Object, n: int, rng: Random) -> Sequence[str]:
    columns = sorted(english.askable(table))
    return rng.sample(columns, min(n, len(columns)))
