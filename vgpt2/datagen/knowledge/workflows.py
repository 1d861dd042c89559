"""Ways to work that follow from keys, families and descriptions: where to start, how to take one month."""

from __future__ import annotations

from random import Random

from vgpt2.datagen.knowledge.asking import Kind
from vgpt2.datagen.knowledge.draws import object_kind
from vgpt2.datagen.knowledge.house import month_columns
from vgpt2.datagen.knowledge.objects import owner_filters
from vgpt2.datagen.knowledge.stock import Stock
from vgpt2.datagen.language import english
from vgpt2.datagen.language.answers import fenced
from vgpt2.datagen.plans.conditions import owner_column, summable
from vgpt2.datagen.plans.plan import ColumnRef, Filter, Output, Query, Source, render_sql
from vgpt2.sql.schema import Object

_NAMING = ("Description", "Name", "description", "name")
_DATE_TYPES = {"date", "datetime", "datetime2", "smalldatetime"}


def approach(stock: Stock, o: Object, rng: Random) -> str | None:
    """Numbered steps from the right source to the total."""
    steps = []
    posted = stock.successors.get(o.name)
    if posted:
        steps.append(f"Decide on posted or open entries: {o.name} holds entries before posting, {posted} what was posted.")
    members = stock.family(o)
    if 1 < len(members) <= 6 and members[0].name != o.name and len(members[0].business_key) < len(o.business_key):
        steps.append(f"Start from the header {members[0].name}, then join {o.name} on {english.listing(members[0].business_key)}.")
    else:
        steps.append(f"Start from {o.name}: {stock.called(o)}." if stock.description(o) else f"Start from {o.name}.")
    owner = owner_column(o)
    if owner:
        steps.append(f"Filter {o.name}.{owner} first.")
    month = month_columns(o) or dates(o)
    if month:
        steps.append(f"Limit the period with {o.name}.{month[0]}.")
    masters = [
        key
        for key in stock.links.get(o.name, ())
        if key.from_object == o.name
        and len(key.from_columns) > 1
        and stock.by_name[key.to_object] not in members
        and any(map(stock.by_name[key.to_object].has, _NAMING))
    ]
    if masters:
        key = rng.choice(masters)
        steps.append(f"Join {key.to_object} for names and texts, on {english.listing(key.from_columns)}.")
    amounts = [name for name in summable(o) if english.is_plain(name)]
    if amounts:
        steps.append(f"Total {rng.choice(amounts)} before you join tables with more rows.")
    if len(steps) < 2:
        return None
    return "\n".join(f"{n}. {step}" for n, step in enumerate(steps, 1))


def by_month(stock: Stock, o: Object, rng: Random) -> str | None:
    """A query of one month: equality for a column that holds the first of the month, a range for a date."""
    months = [name for name in month_columns(o) if english.is_plain(name)]
    found = months or dates(o)
    key = [name for name in o.business_key if english.is_plain(name)]
    if not found or not key:
        return None
    column = ColumnRef(o.name, found[0] if months else rng.choice(found))
    filters: tuple[Filter, ...] = (Filter(column, "=", "'20240301'"),)
    why = f"{column} holds the first day of the month."
    if not months:
        filters = (Filter(column, ">=", "'20240301'"), Filter(column, "<", "'20240401'"))
        why = f"{column} is a date: take a range up to the first of the next month."
    outputs = tuple(Output(ColumnRef(o.name, name)) for name in dict.fromkeys((*key, column.column)))
    query = Query(Source(o.name), outputs, (*owner_filters(o), *filters))
    return f"{why} For March 2024:\n{fenced(render_sql(query))}"


def dates(o: Object) -> list[str]:
    """Described date columns without those of housekeeping; all of them where the object has no descriptions."""
    told = any(c.description for c in o.columns)
    plain = [c for c in o.columns if c.type in _DATE_TYPES and english.is_plain(c.name) and not english.is_housekeeping(c.description)]
    return [c.name for c in plain if c.description or not told]


KINDS: tuple[Kind, ...] = (object_kind("approach", 60, approach), object_kind("filter_month", 40, by_month))
