"""Questions on a schema text: SQL in house style, or the column that holds something; one text bears a chat of several questions.

Where a slot is not `real` one thing asked for is absent (a column, a table, or data that no column holds), and the answer says so instead.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from random import Random

from vgpt2.datagen.language import answers, english
from vgpt2.datagen.names.fakes import fake_column, fake_object
from vgpt2.datagen.names.sides import Side
from vgpt2.datagen.plans.plan import ColumnRef, expectation, render_sql
from vgpt2.datagen.questions.drafts import JOIN, ONE_TABLE, Draft, draft_join
from vgpt2.datagen.questions.question import Chat, Question, Slot, Subject
from vgpt2.sql.render import render_compact
from vgpt2.sql.schema import Object

# of the questions for SQL; the others give the columns' own names, which a small model learns to copy long before it learns to translate
WORDED_SHARE = 0.4


def schema_chat(side: Side, slots: Sequence[Slot], asked: Collection[str], rng: Random) -> Chat | None:
    """Questions on the same one or two objects; with two, those that a join of the chat joins."""
    drafts = _drafts(side, slots, rng)
    if drafts is None:
        return None
    context = schema_text(side, drafts, rng) + "\n\n"
    chat: Chat = []
    for slot, draft in zip(slots, drafts):
        question = _told(side, slot, context, draft, rng)
        if question is None:
            return None
        chat.append(question)
    return chat


def schema_text(side: Side, drafts: Sequence[Draft], rng: Random) -> str:
    """The asked objects, pruned to what is needed and a little more; a single one at times beside another that is not needed."""
    objects = list({o.name: o for draft in drafts for o in draft.objects}.values())
    shown = [
        side.schema_part(o, [*set().union(*(d.needed(o.name) for d in drafts)), *_some(o, 1 if len(drafts) > 1 else 2, rng)])
        for o in objects
    ]
    if len(objects) == 1 and rng.random() < 0.3:
        neighbours = [o for o in side.schema_objects() if o.module == objects[0].module and o.name != objects[0].name]
        short = [o for o in neighbours if len(o.business_key) < 4]
        shown += [side.schema_part(o, _some(o, 2, rng)) for o in rng.sample(short, min(1, len(short)))]
    rng.shuffle(shown)
    return render_compact(shown, catalogue=side.catalogue if len(objects) > 1 else None)


def _drafts(side: Side, slots: Sequence[Slot], rng: Random) -> list[Draft] | None:
    """One draft a slot, all on one object, or on the two of one key where a slot asks for a join."""
    key = None
    if any(slot.kind == JOIN for slot in slots):
        if not side.joinable_keys:
            return None
        key = rng.choice(side.line_keys if side.line_keys and rng.random() < 0.6 else side.joinable_keys)
        tables = [side.catalogue.objects[key.from_object], side.catalogue.objects[key.to_object]]
    else:
        tables = [rng.choice(side.schema_objects())]
    drafts = []
    for slot in slots:
        draft = draft_join(side, key, rng) if key and slot.kind == JOIN else ONE_TABLE[slot.kind](side, rng.choice(tables), rng)
        if draft is None:
            return None
        drafts.append(draft)
    return drafts


def _told(side: Side, slot: Slot, context: str, draft: Draft, rng: Random) -> Question | None:
    in_words = draft.query is None or (rng.random() < WORDED_SHARE and all(english.things(o.description) for o in draft.objects))
    if not slot.real:
        return _absent(side, slot, context, draft, in_words, rng)
    ask = slot.template.fill(**_parts(draft, in_words))
    tables = tuple(o.name for o in draft.objects)
    if draft.query is None:
        (column,) = draft.asked["gloss"]
        answer = answers.holds(str(column), draft.words(column) or column.column)
        expect = {"table": column.table, "column": column.column}
        return Question(slot.kind, slot.template.id, context, ask, answer, tables, expect)
    answer, gold = answers.fenced(render_sql(draft.query)), expectation(draft.query) | {"asked": "words" if in_words else "names"}
    return Question(slot.kind, slot.template.id, context, ask, answer, tables, gold, query=draft.query)


def _absent(side: Side, slot: Slot, context: str, draft: Draft, in_words: bool, rng: Random) -> Question | None:
    """The same question with one thing in it that is not there, answered honestly."""
    table = draft.driving
    part = next((name for name in ("gloss", "columns", "amount") if name in draft.asked), None)
    replaced = draft.asked[part][-1] if part else None
    subject: Subject | None = None
    expect: dict[str, object]
    if in_words:
        gloss = side.absent_gloss(table, rng)
        if gloss is None:
            return None
        parts = _parts(draft, in_words, {replaced: gloss} if replaced else {})
        if replaced is None:
            parts["filters"] += f" and {gloss} {rng.randint(2, 90)}"
        answer, expect = answers.nothing_holds(table.name, gloss), {"table": table.name, "column": None}
    else:
        column = replaced if rng.random() < 0.6 else None
        subject = _absent_column(table, column, rng) if column else _absent_table(side, table, rng)
        if subject is None:
            return None
        said = subject.name if draft.others else subject.name.partition(".")[2]
        parts = _parts(draft, in_words, {column: said} if column else {})
        if column is None:
            parts["rows"] = f"{subject.name} rows"
        answer, expect = subject.verdict(real=False), {"name": subject.name, "exists": False}
    tables = tuple(o.name for o in draft.objects)
    return Question(slot.kind, slot.template.id, context, slot.template.fill(**parts), answer, tables, expect, subject=subject)


def _absent_column(table: Object, asked: ColumnRef, rng: Random) -> Subject | None:
    fake = fake_column(table, table.column_index[asked.column], rng)
    return Subject(f"{table.name}.{fake.name}", False, str(asked)) if fake else None


def _absent_table(side: Side, table: Object, rng: Random) -> Subject | None:
    fake = fake_object(side.names, table.name, ("near_miss", "camel", "suffix", "plural"), split=side.split, rng=rng)
    return Subject(fake.name, False, table.name) if fake else None


def _parts(draft: Draft, in_words: bool, said: Mapping[ColumnRef, str] | None = None) -> dict[str, str]:
    """The sentence's parts; `said` overrides what single columns are called."""

    def called(ref: ColumnRef) -> str:
        if said and ref in said:
            return said[ref]
        words = draft.words(ref) if in_words else None
        return words or (str(ref) if draft.others else ref.column)  # two tables: a bare name could be of either

    parts = {name: english.listing([called(ref) for ref in refs]) for name, refs in draft.asked.items()}
    rows = [(english.things(o.description) if in_words else None) or f"{o.name} rows" for o in draft.objects]
    parts |= {"table": draft.driving.name, "rows": rows[0], "others": rows[-1]}
    parts["filters"] = english.listing([c.words if in_words else c.names for c in draft.conditions]) if draft.conditions else ""
    return parts


def _some(table: Object, n: int, rng: Random) -> Sequence[str]:
    columns = sorted(english.askable(table))
    return rng.sample(columns, min(n, len(columns)))
