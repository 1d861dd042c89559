"""Schema knowledge of columns: which exist, what they hold, their types and nulls, and where one occurs."""

from __future__ import annotations

from random import Random

from vgpt2.datagen.knowledge.asking import Drawn, Kind
from vgpt2.datagen.knowledge.draws import column_kind, plain_columns, telling_columns, unreal_column, unreal_object
from vgpt2.datagen.knowledge.stock import Stock, column_said, shown, things_held
from vgpt2.datagen.knowledge.wording import accept_column
from vgpt2.datagen.language import answers, english
from vgpt2.datagen.questions.question import Subject
from vgpt2.datagen.questions.world import World
from vgpt2.sql.schema import Column, Object

_MOST = 8  # names in one answer
_SORTS = {
    "date": {"date", "datetime", "datetime2", "smalldatetime"},
    "numeric": {"numeric", "decimal", "money", "smallmoney", "float", "real"},
    "whole-number": {"tinyint", "smallint", "int", "bigint"},
    "text": {"char", "varchar", "nchar", "nvarchar", "text", "ntext"},
}


def draw_attribute(stock: Stock, world: World, real: bool, rng: Random) -> Drawn | None:
    """Whether an object has a column."""
    table = rng.choice(stock.objects)
    columns = telling_columns(table)
    if not columns:
        return None
    column = rng.choice(columns)
    if not real:
        return unreal_column(stock, table, column, rng)
    subject = Subject(f"{table.name}.{column.name}", True, f"{table.name}.{column.name}")
    words = {"table": table.name, "column": column.name}
    expect = {"name": subject.name, "exists": True}
    return Drawn(words, (table.name,), lambda seeded: accept_column(table, column, seeded), subject, expect)


def draw_by_meaning(stock: Stock, world: World, real: bool, rng: Random) -> Drawn | None:
    """Which column of an object holds something, in the words of its description; or something of which it holds nothing."""
    table = rng.choice(stock.objects)
    glosses = things_held(table)
    if not glosses:
        return None
    column = rng.choice(sorted(glosses))
    words = {"table": table.name, "gloss": glosses[column]}
    if not real and rng.random() < 0.5:
        return unreal_object(stock, table, words, rng)
    if not real:
        absent = stock.memory.absent_gloss(table, rng)
        if absent is None:
            return None
        said = answers.nothing_holds(table.name, absent)
        return Drawn(
            {**words, "gloss": absent}, (table.name,), lambda seeded: said, expect={"table": table.name, "column": None}, absent=True
        )
    name, gloss = f"{table.name}.{column}", glosses[column]
    forms = (answers.holds(name, gloss), f"That is {name}.", f"Use {name}: the {gloss}.")
    return Drawn(words, (table.name,), lambda seeded: seeded.choice(forms), expect={"table": table.name, "column": column}, about=table)


def meaning(stock: Stock, o: Object, c: Column, rng: Random) -> str | None:
    said, name = column_said(c), f"{o.name}.{c.name}"
    typed = f" ({c.type_text})" if c.type_text else ""
    if said is not None and said.removeprefix("the ").replace(" ", "").casefold() == c.name.casefold():
        return None  # the name says it all
    if said is None:
        return f"The catalogue does not say what {name} holds; its type is {c.type_text or 'unknown'}."
    flag = english.flag_clause(c.description)
    if flag:
        return rng.choice((f"{name} is a yes/no flag: Y when {flag}.", f"{name} is Y when {flag}."))
    return rng.choice((f"{name} holds {said}.", f"{name}{typed}: {said}.", f"In {o.name}, {c.name} holds {said}."))


def type_of(stock: Stock, o: Object, c: Column, rng: Random) -> str | None:
    name = f"{o.name}.{c.name}"
    if c.type_text is None:
        return f"{name} is computed by the view; the catalogue states no type."
    return rng.choice((f"{name} is {c.type_text}.", f"The type of {name} is {c.type_text}.", f"{name} has the type {c.type_text}."))


def nullable(stock: Stock, o: Object, c: Column, rng: Random) -> str | None:
    name = f"{o.name}.{c.name}"
    if c.type is None:
        return None
    if c.nullable:
        return rng.choice((f"{name} may be null.", f"{name} is nullable: rows without a value are possible."))
    return rng.choice((f"Every row has a value in {name}.", f"{name} is never null."))


def draw_sort(stock: Stock, world: World, real: bool, rng: Random) -> Drawn | None:
    """Columns of an object by the sort of their type, or flags, or key."""
    table = rng.choice(stock.objects)
    sort = rng.choice((*_SORTS, "flag"))
    if not real:
        return unreal_object(stock, table, {"table": "", "sort": sort}, rng)
    columns = [c.name for c in plain_columns(table) if is_of_sort(c, sort)]

    def answer(words: Random) -> str:
        if not columns:
            return f"{table.name} has no {sort} columns."
        listed = shown(columns, _MOST)
        if len(columns) == 1:
            return f"{table.name} has one {sort} column: {listed}."
        return words.choice(
            (f"{table.name} has {len(columns)} {sort} columns: {listed}.", f"The {sort} columns of {table.name} are {listed}.")
        )

    return Drawn({"table": table.name, "sort": sort}, (table.name,), answer, about=table)


def is_of_sort(c: Column, sort: str) -> bool:
    """Whether the column's type is of the sort; one character that is Y for something is a flag, and no text."""
    flag = english.flag_clause(c.description) is not None or c.udt == "bYN"
    return flag if sort == "flag" else c.type in _SORTS[sort] and not flag


def draw_holders(stock: Stock, world: World, real: bool, rng: Random) -> Drawn | None:
    """Which objects have a column of a name."""
    table = rng.choice(stock.objects)
    columns = plain_columns(table)
    if not columns:
        return None
    column = rng.choice(columns)
    if not real:
        return _nobody_has(stock, table, column, rng)
    holders = stock.holders[column.name]

    def answer(words: Random) -> str:
        if len(holders) == 1:
            return words.choice((f"Only {holders[0]} has the column {column.name}.", f"{column.name} is a column of {holders[0]}."))
        listed = shown(holders, _MOST)
        return words.choice((f"{column.name} is a column of {listed}.", f"{len(holders)} objects have {column.name}: {listed}."))

    return Drawn({"column": column.name}, holders[:_MOST], answer)


def _nobody_has(stock: Stock, table: Object, column: Column, rng: Random) -> Drawn | None:
    """The question with a column name that is nobody's."""
    drawn = unreal_column(stock, table, column, rng)
    if drawn is None or not stock.side.names.is_unreal(drawn.words["column"]):
        return None
    name = drawn.words["column"]
    near = stock.nearest_column(name)
    if near is None:
        return None
    first, *others = stock.holders[near]
    also = f", also in {shown(others, 2)}" if others else ""
    forms = (
        f"{name} does not exist in any table. The nearest real column is {first}.{near}{also}.",
        f"{name} does not exist. Use {first}.{near}{also}.",
    )
    subject = Subject(name, False, near)
    return Drawn({"column": name}, stock.holders[near][:3], lambda words: words.choice(forms), subject, {"name": name, "exists": False})


COLUMN_KINDS = (
    Kind("exists_attribute", 12, draw_attribute, asks="existence"),
    Kind("find_column", 16, draw_by_meaning),
    column_kind("column_meaning", 13, meaning, telling_columns),
    column_kind("column_type", 9, type_of, plain_columns),
    column_kind("column_nullable", 5, nullable, plain_columns),
    Kind("columns_of_sort", 5, draw_sort),
    Kind("tables_with", 6, draw_holders),
)
