"""Documentation of objects from the catalogue: whole cards, single aspects, columns, links and a first query."""

from __future__ import annotations

from random import Random

from vgpt2.datagen.knowledge.asking import Drawn, Kind
from vgpt2.datagen.knowledge.columns import is_of_sort
from vgpt2.datagen.knowledge.draws import column_kind, object_kind, plain_columns, telling_columns, unreal_object
from vgpt2.datagen.knowledge.stock import Stock, column_said, shown
from vgpt2.datagen.language import english
from vgpt2.datagen.language.answers import fenced
from vgpt2.datagen.plans.conditions import owner_column
from vgpt2.datagen.plans.plan import ColumnRef, Filter, Output, Query, Source, render_sql
from vgpt2.datagen.questions.world import World
from vgpt2.sql.schema import Column, ForeignKey, Object

_MOST = 6  # names or lines in one part of an answer
ASPECTS = ("key columns", "date columns", "amounts and quantities", "yes/no flags", "group columns", "company columns", "codes and numbers")


def card(stock: Stock, o: Object, rng: Random) -> str | None:
    """A reference card: what it is, key, whose rows, telling columns, links."""
    text = stock.description(o) or f"{o.kind} with {len(o.columns)} columns"
    lines = [f"{o.name}: {text}", f"- Kind: {o.kind}{f' of module {o.module}' if o.module else ''}{_behind(o)}"]
    if o.business_key:
        lines.append(f"- Key: {', '.join(o.business_key)}")
    if o.company_column:
        lines.append(f"- Company column: {o.company_column}")
    if plain_groups(o):
        lines.append(f"- Groups: {', '.join(plain_groups(o))}")
    told = sorted(english.distinct_glosses(o).items(), key=lambda pair: o.column_names.index(pair[0]))
    if told:
        picked = sorted(rng.sample(range(len(told)), min(_MOST, len(told))))
        lines.append("- Columns: " + "; ".join(f"{told[n][0]} ({told[n][1]})" for n in picked))
    partners = _partners(stock, o)
    if partners:
        lines.append(f"- Links: {', '.join(partners[:_MOST])}")
    return "\n".join(lines)


def draw_aspect(stock: Stock, world: World, real: bool, rng: Random) -> Drawn | None:
    """The columns of one aspect of an object, each with what it holds."""
    table, aspect = rng.choice(stock.objects), rng.choice(ASPECTS)
    if not real:
        return unreal_object(stock, table, {"table": "", "aspect": aspect}, rng)
    columns = of_aspect(table, aspect)
    if not columns:
        return None

    def answer(words: Random) -> str:
        lines = [
            f"- {c.name}{f': {said}' if (said := column_said(c)) else f': {c.type_text}' if c.type_text else ''}" for c in columns[:_MOST]
        ]
        more = [f"- {len(columns) - _MOST} more"] if len(columns) > _MOST else []
        head = words.choice((f"{aspect.capitalize()} of {table.name}:", f"{table.name} has these {aspect}:"))
        return "\n".join([head, *lines, *more])

    return Drawn({"table": table.name, "aspect": aspect}, (table.name,), answer, about=table)


def of_aspect(o: Object, aspect: str) -> list[Column]:
    """The columns of an aspect, described ones first."""
    keys = {*o.business_key, *o.group_columns}
    tests = {
        "key columns": lambda c: c.name in o.business_key,
        "date columns": lambda c: is_of_sort(c, "date"),
        "amounts and quantities": lambda c: is_of_sort(c, "numeric"),
        "yes/no flags": lambda c: is_of_sort(c, "flag"),
        "group columns": lambda c: c.name in o.group_columns,
        "company columns": lambda c: c.udt == "bCompany" or c.name == o.company_column,
        "codes and numbers": lambda c: (
            c.name not in keys and c.type in ("varchar", "char", "int", "smallint") and english.gloss(c.description)
        ),
    }
    found = [c for c in plain_columns(o) if tests[aspect](c)]
    return found if aspect == "key columns" else sorted(found, key=lambda c: c.description is None)


def column_card(stock: Stock, o: Object, c: Column, rng: Random) -> str | None:
    """Meaning, type, null or not, role in keys, and who else has it."""
    lines = [f"{o.name}.{c.name}"]
    said = column_said(c)
    lines.append(f"- Holds: {said}" if said else "- Holds: not described in the catalogue")
    if c.type_text:
        lines.append(f"- Type: {c.type_text}, {'may be null' if c.nullable else 'never null'}")
    roles = ["part of the key"] if c.name in o.business_key else []
    roles += ["company column"] if c.name == o.company_column else ["group column"] if c.name in o.group_columns else []
    if roles:
        lines.append(f"- Role: {', '.join(roles)}")
    leads = _leads_to(stock, o, c)
    if leads:
        lines.append(f"- Leads to: {', '.join(leads[:3])}")
    others = [table for table in stock.holders.get(c.name, ()) if table != o.name]
    if others and rng.random() < 0.5:
        lines.append(f"- Also in: {shown(others, 4)}")
    return "\n".join(lines)


def links(stock: Stock, o: Object, rng: Random) -> str | None:
    """What it refers to and what refers to it, with the columns."""
    keys = stock.links.get(o.name, ())
    if not keys:
        return f"The catalogue states no foreign keys from or to {o.name}."
    out = [f"{key.to_object} ({', '.join(key.from_columns)})" for key in keys if key.from_object == o.name and _plain(key)]
    into = list(dict.fromkeys(key.from_object for key in keys if key.to_object == o.name))
    parts = [f"{o.name} refers to {shown(out, _MOST)}."] if out else []
    parts += [f"Rows of {shown(into, _MOST)} refer to {o.name}."] if into else []
    return " ".join(parts) or None


def skeleton(stock: Stock, o: Object, rng: Random) -> str | None:
    """A first query in house style: key and some telling columns, one company or group."""
    query = first_query(o, rng)
    if query is None:
        return None
    owner = owner_column(o)
    note = f"Filter by {owner}; the company number here is an example." if owner and owner == o.company_column else ""
    lead = rng.choice(("Start with this query:", f"A first query on {o.name}:", ""))
    return "\n".join(part for part in (lead, fenced(render_sql(query)), note) if part)


def first_query(o: Object, rng: Random, *, extra: int = 3) -> Query | None:
    """Key and up to `extra` telling columns of the rows of one company, or of one group of a shared master."""
    key = [name for name in o.business_key if english.is_plain(name)]
    others = [name for name in english.askable(o) if name not in key]
    chosen = rng.sample(others, min(extra, len(others)))
    names = [*key, *sorted(chosen, key=o.column_names.index)]
    if not names or len(key) < len(o.business_key):
        return None
    return Query(Source(o.name), tuple(Output(ColumnRef(o.name, name)) for name in names), owner_filters(o))


def owner_filters(o: Object, value: int = 1) -> tuple[Filter, ...]:
    """The filter on whose rows are read, of company or group 1 where no other is asked for; none where rows are nobody's."""
    owner = owner_column(o)
    return (Filter(ColumnRef(o.name, owner), "=", str(value)),) if owner else ()


def source(stock: Stock, o: Object, rng: Random) -> str | None:
    """What a view reads."""
    if o.kind == "table":
        return f"{o.name} is a table: it holds its rows itself."
    if o.base_table:
        return rng.choice((f"{o.name} shows one table, {o.base_table}.", f"The rows of {o.name} come from the table {o.base_table}."))
    known = [name for name in o.depends_on if stock.side.names.is_object(name)]
    return f"{o.name} draws on {shown(known, _MOST)}." if known else None


def plain_groups(o: Object) -> list[str]:
    return [name for name in o.group_columns if english.is_plain(name)][:_MOST]


def _behind(o: Object) -> str:
    return f", over the table {o.base_table}" if o.base_table else ""


def _partners(stock: Stock, o: Object) -> list[str]:
    keys = stock.links.get(o.name, ())
    return list(dict.fromkeys(key.to_object if key.from_object == o.name else key.from_object for key in keys))


def _leads_to(stock: Stock, o: Object, c: Column) -> list[str]:
    """'OBJECT.Column' of the keys that end in this column: what it is a number of."""
    keys = [key for key in stock.links.get(o.name, ()) if key.from_object == o.name and key.from_columns[-1] == c.name]
    return list(dict.fromkeys(f"{key.to_object}.{key.to_columns[-1]}" for key in keys if _plain(key)))


def _plain(key: ForeignKey) -> bool:
    return all(map(english.is_plain, (*key.from_columns, *key.to_columns)))


KINDS = (
    object_kind("object_document", 8, card),
    Kind("object_aspect", 25, draw_aspect),
    column_kind("column_document", 47, column_card, telling_columns),
    object_kind("object_links", 7, links),
    object_kind("query_skeleton", 8, skeleton),
    object_kind("view_source", 5, source, on_names=True),
)
