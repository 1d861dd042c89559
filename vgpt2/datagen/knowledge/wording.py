"""How answers say that a name is real or not, and which real name to use instead.

The sentences are few and plain, so that `claims` reads them as they are meant: a refusal denies one name and offers others.
"""

from __future__ import annotations

from random import Random

from vgpt2.datagen.knowledge.stock import Stock, column_said
from vgpt2.datagen.language import answers
from vgpt2.datagen.names.statements import looks_like_a_name
from vgpt2.sql.schema import Column, Object


def accept_object(stock: Stock, o: Object, rng: Random) -> str:
    """That the object exists, and what it is."""
    called = stock.called(o)
    return rng.choice(
        (
            answers.verdict(o.name, real=True, nearest=o.name, about=called),
            f"{as_name(o.name)} exists: {called}.",
            f"Yes, {as_name(o.name)} is a {o.kind}{_in_module(o)}: {called}.",
            f"{as_name(o.name)} is real ({called}).",
        )
    )


def accept_base(name: str, view: Object, rng: Random) -> str:
    """That the table behind a view exists; queries read the view."""
    return rng.choice(
        (
            f"{name} exists: it is the table behind the view {view.name}. Query {view.name}.",
            f"Yes, {name} is the table that the view {view.name} shows. In queries use {view.name}.",
            answers.verdict(name, real=True, nearest=name, about=f"the table behind the view {view.name}"),
        )
    )


def accept_listed(name: str, rng: Random) -> str:
    """That a name is real of which the catalogue describes nothing further."""
    return rng.choice(
        (
            f"{name} exists in the database. The catalogue does not describe it further.",
            f"Yes, {name} is a real object. Its columns are not described here.",
            answers.verdict(name, real=True, nearest=name),
        )
    )


def refuse_object(stock: Stock, name: str, rng: Random) -> str | None:
    """That no object has the name, with what it may mean: one real object, or two or three to choose from. None where nothing is near."""
    meant = stock.meant.objects(name)
    if not meant:
        return None
    wrong = as_name(name)
    if len(meant) > 1:
        choice = _choices(stock, meant)
        return rng.choice(
            (
                f"{wrong} does not exist. Did you mean {choice}?",
                f"There is no table or view named {wrong}. Do you mean {choice}?",
                f"No, {wrong} is not in the catalogue. Are you looking for {choice}?",
            )
        )
    called = stock.called(meant[0])
    near = as_name(meant[0].name)
    return rng.choice(
        (
            answers.verdict(name, real=False, nearest=meant[0].name, about=called),
            f"{wrong} does not exist. The nearest real name is {near} ({called}).",
            f"There is no table or view named {wrong}. Use {near} instead: {called}.",
            f"No, {wrong} is not in the catalogue. Use {near} ({called}).",
        )
    )


def accept_column(o: Object, c: Column, rng: Random) -> str:
    """That the object has the column, and what it holds where that is known."""
    said = column_said(c)
    typed = f" ({c.type_text})" if c.type_text else ""
    name = f"{o.name}.{c.name}"
    return rng.choice(
        (
            answers.verdict(name, real=True, nearest=name),
            f"Yes, {name} exists{typed}.",
            f"{name} exists{': ' + said if said else ''}.",
        )
    )


def refuse_column(stock: Stock, o: Object, name: str, rng: Random) -> str | None:
    """That the object lacks the column, with the column it may mean, or the object that has it. None where nothing is near."""
    near = stock.meant.column(o.name, name)
    if near is None:
        return _elsewhere(stock, o, name, rng)
    said = column_said(near)
    real = f"{o.name}.{near.name}"
    return rng.choice(
        (
            answers.verdict(f"{o.name}.{name}", real=False, nearest=real),
            f"{o.name}.{name} does not exist. The nearest real column is {real}{f' ({said})' if said else ''}.",
            f"There is no {o.name}.{name}; use {real}{': ' + said if said else ''}.",
            f"{o.name}.{name} does not exist. Use {real} instead.",
        )
    )


def _elsewhere(stock: Stock, o: Object, name: str, rng: Random) -> str | None:
    """That the column is that of other objects: linked ones first."""
    linked = [table for key in stock.links.get(o.name, ()) for table in (key.from_object, key.to_object)]
    holders = [table for table in (*linked, *stock.holders.get(name, ())) if table != o.name and stock.by_name[table].has(name)]
    if not holders:
        return None
    real = f"{holders[0]}.{name}"
    return rng.choice(
        (
            answers.verdict(f"{o.name}.{name}", real=False, nearest=real),
            f"There is no {o.name}.{name}; use {real}.",
            f"{o.name}.{name} does not exist. The nearest real column is {real}.",
        )
    )


def as_name(name: str) -> str:
    """The name in code marks where it could be read as a plain word: `Sale`, but APTH."""
    return name if looks_like_a_name(name) else f"`{name}`"


def _choices(stock: Stock, objects: tuple[Object, ...]) -> str:
    said = [f"{as_name(o.name)} ({stock.called(o)})" for o in objects]
    return ", ".join(said[:-1]) + " or " + said[-1]


def _in_module(o: Object) -> str:
    return f" of module {o.module}" if o.module else ""
