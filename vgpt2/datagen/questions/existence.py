"""Questions about what exists, several on one context as a chat, each with its right answer.

A chat maker takes the names it may use, the slots to fill (sentence, and whether the asked name shall be real), the names asked before and
its own random generator. It returns None where the draw offers nothing fitting, and the caller draws again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from random import Random

from vgpt2.datagen.language import english
from vgpt2.datagen.language.phrasings import COLUMN_LISTS, OBJECT_LISTS
from vgpt2.datagen.names.fakes import OBJECT_KINDS, borrowed_column, fake_column, fake_object
from vgpt2.datagen.names.sides import Side
from vgpt2.datagen.questions.question import Chat, Question, Slot, Subject
from vgpt2.sql.names import NameIndex
from vgpt2.sql.schema import Column, Object

_LISTED_KINDS = ("near_miss", "near_miss", "wrong_module", "plural", "suffix", "camel")


def memory_chat(side: Side, slots: Sequence[Slot], asked: Collection[str], rng: Random) -> Chat | None:
    """Is this name real? Nothing in the prompt helps. A tenth of the names are those of tables behind views."""
    chat: Chat = []
    for slot in slots:
        subject = _fresh_subject(side, slot.real, {*asked, *(q.subject.name for q in chat if q.subject)}, rng)
        if subject is None:
            return None
        about = subject.name if subject.is_real else subject.nearest
        chat.append(_existence(slot, "", slot.template.fill(name=subject.name), subject, (about,)))
    return chat


def list_chat(side: Side, slots: Sequence[Slot], asked: Collection[str], rng: Random) -> Chat | None:
    """Is this name in the list of the prompt? Most fakes look like their neighbours in it, so that only the list can tell."""
    pool = side.names.listable(side.split)
    if len(pool) < max(4, len(slots)):
        return None
    shown = rng.sample(pool, min(len(pool), rng.randint(7, 13)))
    context = rng.choice(OBJECT_LISTS[side.held_out]).format(list=", ".join(shown)) + "\n"
    chat: Chat = []
    for slot, target in zip(slots, rng.sample(shown, len(slots))):
        if slot.real:
            subject = Subject(target, True, _nearest(target, [n for n in shown if n != target]))
        else:
            fake = fake_object(side.names, target, _LISTED_KINDS, split=side.split, rng=rng)
            if fake is None:
                return None
            subject = Subject(fake.name, False, target)
        chat.append(_existence(slot, context, slot.template.fill(name=subject.name), subject, (target,)))
    return chat


def columns_chat(side: Side, slots: Sequence[Slot], asked: Collection[str], rng: Random) -> Chat | None:
    """Does this object have this column? Its columns, or a part of them with the asked ones, stand in the prompt."""
    table = rng.choice(side.schema_objects())
    plain = [c for c in table.columns if english.is_plain(c.name)]
    described = [c for c in plain if english.gloss(c.description) or english.flag_clause(c.description)]
    pool = described if len(described) >= 6 else plain
    if len(pool) < max(4, len(slots)):
        return None
    shown = sorted(rng.sample(pool, min(len(pool), rng.randint(6, 11))), key=table.columns.index)
    names = [c.name for c in shown]
    context = rng.choice(COLUMN_LISTS[side.held_out]).format(table=table.name, list=", ".join(names)) + "\n"
    chat: Chat = []
    for slot, target in zip(slots, rng.sample(shown, len(slots))):
        name, nearest = target.name, f"{table.name}.{_nearest(target.name, [n for n in names if n != target.name])}"
        if not slot.real:
            absent = _absent_column(side, table, target, rng)
            if absent is None:
                return None
            name, nearest = absent
        subject = Subject(f"{table.name}.{name}", slot.real, nearest)
        chat.append(_existence(slot, context, slot.template.fill(table=table.name, column=name), subject, (table.name,)))
    return chat


def _fresh_subject(side: Side, real: bool, asked: Collection[str], rng: Random) -> Subject | None:
    """A name to ask from memory, not asked before if any such can be found."""
    best: Subject | None = None
    for _ in range(60):
        target = rng.choice(side.remembered_objects())
        behind = target.base_table if rng.random() < 0.1 else None
        best = (_real_subject(side, target, behind) if real else _fake_subject(side, target, behind, rng)) or best
        if best and best.name not in asked:
            break
    return best


def _real_subject(side: Side, target: Object, behind: str | None) -> Subject:
    nearest = side.catalogue.objects[side.names.nearest(target.name, held_out=False) or target.name]
    if behind:
        return Subject(behind, True, target.name, f"the table behind the view {target.name}", _called(target))
    return Subject(target.name, True, nearest.name, _called(target), _called(nearest))


def _fake_subject(side: Side, target: Object, behind: str | None, rng: Random) -> Subject | None:
    kinds = ("near_miss",) if behind else tuple(OBJECT_KINDS)
    fake = fake_object(side.names, behind or target.name, kinds, split=side.split, rng=rng)
    if fake is None:
        return None
    near = side.names.nearest(fake.name, held_out=False) if fake.kind in ("near_miss", "wrong_module") and not behind else None
    nearest = side.catalogue.objects[near or target.name]
    return Subject(fake.name, False, nearest.name, _called(target), _called(nearest))


def _absent_column(side: Side, table: Object, target: Column, rng: Random) -> tuple[str, str] | None:
    """A column `table` lacks, and the nearest one: what a guess meant, or the same column of a table that has it."""
    borrowed = borrowed_column(side.catalogue, side.schema_names, table, rng) if rng.random() < 0.25 else None
    if borrowed:
        return borrowed[0], f"{borrowed[1]}.{borrowed[0]}"
    fake = fake_column(table, target, rng)
    return (fake.name, f"{table.name}.{target.name}") if fake else None


def _existence(slot: Slot, context: str, ask: str, subject: Subject, objects: tuple[str, ...]) -> Question:
    expect = {"name": subject.name, "exists": subject.is_real}
    return Question(slot.kind, slot.template.id, context, ask, subject.verdict(real=subject.is_real), objects, expect, subject=subject)


def _called(o: Object) -> str:
    return english.noun(o.description) or f"a {o.kind}"


def _nearest(name: str, others: Sequence[str]) -> str:
    found = NameIndex(others).nearest(name, 1, prefix=2)
    return found[0] if found else others[0]
