"""Report SQL: composed from the catalogue, and that of the house's own report documents."""

from __future__ import annotations

from random import Random

from vgpt2.datagen.knowledge.asking import Drawn, Kind
from vgpt2.datagen.knowledge.documents import REPORT_KINDS
from vgpt2.datagen.knowledge.draws import unreal_column, unreal_object
from vgpt2.datagen.knowledge.objects import owner_filters
from vgpt2.datagen.knowledge.stock import Stock
from vgpt2.datagen.language import english
from vgpt2.datagen.language.answers import fenced
from vgpt2.datagen.plans.conditions import codes, summable
from vgpt2.datagen.plans.plan import ColumnRef, Filter, Order, Output, Query, Source, render_sql
from vgpt2.datagen.questions.world import World


def draw_detail(stock: Stock, world: World, real: bool, rng: Random) -> Drawn | None:
    """A list report: columns of one object for one company or group, in key order."""
    table = rng.choice(stock.objects)
    others = sorted(set(english.askable(table)) - set(table.business_key))
    key = [name for name in table.business_key if english.is_plain(name)]
    if len(others) < 3 or not key or len(key) < len(table.business_key):
        return None
    columns = rng.sample(others, rng.randint(2, min(4, len(others))))
    filters = owner_filters(table, rng.randint(1, 30))
    words = {"table": table.name, "columns": english.listing(columns), "owner": _owner(filters)}
    if not real:
        return _unreal(stock, table.name, words, columns, rng)
    outputs = tuple(Output(ColumnRef(table.name, name)) for name in dict.fromkeys((*key, *columns)))
    order = tuple(Order(ColumnRef(table.name, name)) for name in key)
    query = Query(Source(table.name), outputs, filters, order_by=order)
    return Drawn(words, (table.name,), lambda seeded: fenced(render_sql(query)))


def draw_summary(stock: Stock, world: World, real: bool, rng: Random) -> Drawn | None:
    """A summary report: one amount totalled by one code, the largest first."""
    table = rng.choice(stock.objects)
    amounts, groups = summable(table), codes(stock.side.catalogue, table)
    if not amounts or not groups:
        return None
    amount, group = rng.choice(amounts), rng.choice(groups)
    filters = owner_filters(table, rng.randint(1, 30))
    words = {"table": table.name, "amount": amount, "group": group, "owner": _owner(filters)}
    if not real:
        return unreal_object(stock, table, {"table": "", **{k: v for k, v in words.items() if k != "table"}}, rng)
    by = ColumnRef(table.name, group)
    outputs = (Output(by), Output(ColumnRef(table.name, amount), "SUM", "Total"))
    query = Query(Source(table.name), outputs, filters, group_by=(by,), order_by=(Order("Total", descending=True),))
    return Drawn(words, (table.name,), lambda seeded: fenced(render_sql(query)))


def _unreal(stock: Stock, table: str, words: dict[str, str], columns: list[str], rng: Random) -> Drawn | None:
    """The report with one column that the object lacks, or on an invented object."""
    o = stock.by_name[table]
    if rng.random() < 0.5:
        return unreal_object(stock, o, {**words, "table": ""}, rng)
    drawn = unreal_column(stock, o, o.column_index[columns[-1]], rng)
    if drawn is None or drawn.words["column"] in columns:
        return None
    said = {**words, "columns": english.listing([*columns[:-1], drawn.words["column"]])}
    return Drawn(said, drawn.objects, drawn.answer, drawn.subject, drawn.expect)


def _owner(filters: tuple[Filter, ...]) -> str:
    return f"{filters[0].column.column} {filters[0].value}" if filters else "all rows"


KINDS = (
    Kind("report_detail", 45, draw_detail),
    Kind("report_summary", 35, draw_summary),
    *REPORT_KINDS,
)
