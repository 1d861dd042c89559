"""What questions are about: an object, a column or two objects; an invented name where one shall be unreal."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random

from vgpt2.datagen.knowledge.asking import Drawn, Kind, OfObject
from vgpt2.datagen.knowledge.stock import Stock
from vgpt2.datagen.knowledge.wording import refuse_column, refuse_object
from vgpt2.datagen.language import english
from vgpt2.datagen.language.answers import fenced
from vgpt2.datagen.names.fakes import OBJECT_KINDS, borrowed_column, fake_column, fake_object
from vgpt2.datagen.questions.question import Subject
from vgpt2.datagen.questions.world import World
from vgpt2.sql.schema import Column, Object

OfColumn = Callable[[Stock, Object, Column, Random], str | None]
OfPair = Callable[[Stock, Object, Object, Random], str | None]
Pool = Callable[[Stock], Sequence[Object]]
Pairs = Callable[[Stock], Sequence[tuple[str, str]]]


def every_object(stock: Stock) -> Sequence[Object]:
    return stock.objects


def keyed_objects(stock: Stock) -> Sequence[Object]:
    return stock.keyed


def object_kind(name: str, share: float, answer: OfObject, among: Pool = every_object, *, on_names: bool = False) -> Kind:
    """A kind that asks about one object, {table}, or with `on_names` about its name; a next turn may go on with it."""

    def draw(stock: Stock, world: World, real: bool, rng: Random) -> Drawn | None:
        pool = among(stock)
        if not pool:
            return None
        table = rng.choice(pool)
        if not real:
            return unreal_object(stock, table, {"table": ""}, rng)
        return Drawn({"table": table.name}, (table.name,), lambda words: answer(stock, table, words), about=table)

    return Kind(name, share, draw, of_object=answer, on_names=on_names)


def column_kind(name: str, share: float, answer: OfColumn, among: Callable[[Object], Sequence[Column]]) -> Kind:
    """A kind that asks about a column of an object, {table} and {column}; the unreal name is the column's more often than the object's."""

    def draw(stock: Stock, world: World, real: bool, rng: Random) -> Drawn | None:
        table = rng.choice(stock.objects)
        columns = among(table)
        if not columns:
            return None
        column = rng.choice(columns)
        words = {"table": table.name, "column": column.name}
        if not real:
            return unreal_column(stock, table, column, rng) if rng.random() < 0.6 else unreal_object(stock, table, words, rng)
        expect = {"table": table.name, "column": column.name}
        return Drawn(words, (table.name,), lambda seeded: answer(stock, table, column, seeded), expect=expect, about=table)

    return Kind(name, share, draw)


def pair_kind(name: str, share: float, answer: OfPair, pairs: Pairs, *, either_way: bool = True, on_names: bool = False) -> Kind:
    """A kind that asks about two objects, {table} and {other}."""

    def draw(stock: Stock, world: World, real: bool, rng: Random) -> Drawn | None:
        pool = pairs(stock)
        if not pool:
            return None
        names = rng.choice(pool)
        a, b = (stock.by_name[name] for name in (names[::-1] if either_way and rng.random() < 0.5 else names))
        if not real:
            slots = ("table", "other") if rng.random() < 0.5 else ("other", "table")
            return unreal_object(stock, a, {slots[0]: "", slots[1]: b.name}, rng)
        return Drawn({"table": a.name, "other": b.name}, (a.name, b.name), lambda words: answer(stock, a, b, words), about=a)

    return Kind(name, share, draw, on_names=on_names)


def unreal_object(stock: Stock, imitated: Object, words: dict[str, str], rng: Random) -> Drawn | None:
    """The question with an invented name in the slot that is empty, else in {table}; refused with what is meant instead."""
    name = invented(stock, imitated.name, rng)
    if name is None or name in words.values():
        return None
    slot = next((slot for slot, word in words.items() if not word), "table")
    return refused(stock, name, {**words, slot: name}, about=imitated)


def unreal_query(stock: Stock, table: Object, sql: str, rng: Random) -> Drawn | None:
    """The question on SQL, {sql}, with an invented name in the place of one of its tables."""
    name = invented(stock, table.name, rng, ("near_miss", "suffix", "camel", "plural"))
    if name is None:
        return None
    for before, after in (("", "."), ("FROM ", ""), ("JOIN ", "")):
        sql = re.sub(rf"(?<![\w.]){before}{table.name}\b{re.escape(after)}", f"{before}{name}{after}", sql)
    return refused(stock, name, {"sql": fenced(sql)})


def invented(stock: Stock, imitated: str, rng: Random, kinds: Sequence[str] = tuple(OBJECT_KINDS)) -> str | None:
    """A name of this side's split that nobody bears and that imitates a real one."""
    fake = fake_object(stock.side.names, imitated, kinds, split=stock.side.split, rng=rng)
    return fake.name if fake else None


def refused(stock: Stock, name: str, words: dict[str, str], *, about: Object | None = None) -> Drawn | None:
    """A question that hangs on an invented name; None where nothing real is near it."""
    meant = stock.meant.objects(name)
    if not meant:
        return None
    subject = Subject(name, False, meant[0].name, nearest_about=stock.called(meant[0]))
    objects = tuple(dict.fromkeys((*(o.name for o in meant), *(word for word in words.values() if word in stock.by_name))))
    expect = {"name": name, "exists": False}
    return Drawn(words, objects, lambda seeded: refuse_object(stock, name, seeded), subject, expect, about)


def unreal_column(stock: Stock, table: Object, imitated: Column, rng: Random) -> Drawn | None:
    """The question with a column that the object lacks: a guess at a real one, or a column of a linked object."""
    borrowed = borrowed_column(stock.side.catalogue, stock.by_name.keys(), table, rng) if rng.random() < 0.25 else None
    fake = None if borrowed else fake_column(table, imitated, rng)
    name = borrowed[0] if borrowed else fake.name if fake else ""
    if not name or (not borrowed and stock.side.names.split_of(name) != stock.side.split):
        return None
    near = stock.meant.column(table.name, name)
    subject = Subject(f"{table.name}.{name}", False, f"{table.name}.{near.name}" if near else ".".join(reversed(borrowed or (name,))))
    expect = {"name": subject.name, "exists": False}
    words = {"table": table.name, "column": name}
    return Drawn(words, (table.name,), lambda seeded: refuse_column(stock, table, name, seeded), subject, expect, table)


def plain_columns(o: Object) -> list[Column]:
    return [c for c in o.columns if english.is_plain(c.name)]


def telling_columns(o: Object) -> list[Column]:
    """Columns worth asking about by name, keys too: those described as more than housekeeping, or all where hardly any is."""
    plain = plain_columns(o)
    told = [c for c in plain if c.description and not english.is_housekeeping(c.description)]
    return told if len(told) >= 4 else plain
