"""The rules of the house as questions and answers; only rules that the catalogue gives a ground for."""

from __future__ import annotations

from random import Random

from vgpt2.datagen.knowledge.asking import Drawn, Kind
from vgpt2.datagen.knowledge.draws import object_kind, unreal_object
from vgpt2.datagen.knowledge.stock import Stock
from vgpt2.datagen.language import english
from vgpt2.datagen.questions.world import World
from vgpt2.sql.schema import Object

_TOPICS: dict[str, tuple[str, ...]] = {
    "nolock": ("NOLOCK", "locking hints", "reading without locks", "the hint after a table name", "table hints"),
    "alias": ("table aliases", "short names for tables", "naming tables in a query", "aliases in the from clause"),
    "case": ("upper and lower case in names", "the case of names", "capitals in column names", "writing names exactly"),
    "views": ("views and base tables", "reading views", "tables behind views", "choosing a view or its table"),
    "keys": ("joins", "join conditions", "joining on part of a key", "whole keys", "the columns of a join"),
    "company": ("the company filter", "filtering by company", "rows of other companies", "company columns"),
    "groups": ("shared masters", "vendor and customer groups", "masters shared by companies", "group columns in joins"),
    "month": ("month columns", "filtering by month", "the first day of the month", "periods in filters"),
    "surrogate": ("surrogate keys", "joining on identity columns", "the identity column as a key", "business keys"),
}


def draw_topic(stock: Stock, world: World, real: bool, rng: Random) -> Drawn | None:
    """The rule on a topic, with an example of the catalogue."""
    name = rng.choice(sorted(_TOPICS))
    topic = rng.choice(_TOPICS[name])
    said = rule_on(stock, name, Random(topic))
    return Drawn({"topic": topic}, (), lambda words: rule_on(stock, name, words)) if said else None


def rule_on(stock: Stock, topic: str, rng: Random) -> str | None:
    """The rule in a sentence or two; None where the catalogue has nothing that it is about."""
    o = rng.choice(stock.objects)
    if topic == "nolock":
        return f"Every table and view is read WITH (NOLOCK), joined ones too: {o.name} WITH (NOLOCK)."
    if topic == "alias":
        return f"Tables get no aliases: write {o.name} in full before each column. Only a table joined to itself needs two names."
    if topic == "case":
        return f"Names are written in exact case, since they are case-sensitive: {o.name}, and no other spelling of it."
    example = next((one for one in rng.sample(stock.objects, len(stock.objects)) if _is_about(stock, one, topic)), None)
    if example is None:
        return None
    return {"views": _views, "keys": _keys, "company": _company, "groups": _groups, "month": _month, "surrogate": _surrogate}[topic](
        stock, example
    )


def for_object(stock: Stock, o: Object, rng: Random) -> str | None:
    """The rules that a query on the object must keep, most of them by its own columns."""
    lines = [f"- Read {o.name} WITH (NOLOCK), without an alias and in exact case."]
    if o.base_table:
        lines.append(f"- Read the view {o.name}, and leave the table {o.base_table} alone.")
    if o.company_column:
        lines.append(f"- Filter by the company: {o.name}.{o.company_column}.")
    elif any(name in o.business_key for name in o.group_columns):
        lines.append(
            f"- Rows are shared through {english.listing([n for n in o.group_columns if n in o.business_key])}; put it into every join."
        )
    if len(o.business_key) > 1:
        lines.append(f"- Join on the whole key: {', '.join(o.business_key)}.")
    months = month_columns(o)
    if months:
        lines.append(f"- {months[0]} is the first day of a month.")
    head = rng.choice((f"For a query on {o.name}:", f"Rules for {o.name}:"))
    return "\n".join([head, *lines])


def draw_reason(stock: Stock, world: World, real: bool, rng: Random) -> Drawn | None:
    """Why a query on an object needs what a rule asks for."""
    table = rng.choice(stock.objects)
    reasons = _reasons(table)
    rule = rng.choice(sorted(reasons))
    if not real:
        return unreal_object(stock, table, {"table": "", "rule": rule}, rng)
    return Drawn({"table": table.name, "rule": rule}, (table.name,), lambda words: words.choice(reasons[rule]), about=table)


def _reasons(o: Object) -> dict[str, tuple[str, ...]]:
    """What each rule that concerns the object is good for, by how a question calls the rule."""
    found = {
        "the hint NOLOCK": (
            f"{o.name} WITH (NOLOCK) is read without waiting for those who enter data, and without holding them up.",
            f"Without NOLOCK a long report on {o.name} locks rows that others want to change.",
        ),
        "its full name instead of an alias": (
            f"With {o.name} written out, every column shows where it comes from; aliases hide that in long queries.",
            f"A reader sees {o.name} before each column and need not look up what a letter stands for.",
        ),
        "the exact case of its name": (f"Names are case-sensitive: only {o.name}, written exactly so, is found.",),
    }
    if o.company_column:
        company = f"{o.name}.{o.company_column}"
        found["a filter on the company"] = (
            f"{o.name} holds the rows of all companies; without {company} they would be mixed.",
            f"Numbers repeat between companies. {company} keeps the rows of one company.",
        )
    if len(o.business_key) > 1:
        key = english.listing(o.business_key)
        found["a join on the whole key"] = (
            f"Only {key} together identify a row of {o.name}; on a part of them unrelated rows match.",
            f"With a column of the key ({key}) missing, the join repeats rows and totals of {o.name} are too high.",
        )
    if o.base_table:
        found["the view instead of the table"] = (
            f"{o.name} is the view meant for queries; the table {o.base_table} behind it is the application's own.",
        )
    return found


def month_columns(o: Object) -> list[str]:
    """Key columns that hold a month by its first day."""
    return [
        c.name
        for c in o.columns
        if c.name in o.business_key and (c.udt == "bMonth" or "month" in (c.description or "")) and "date" in (c.type or "")
    ]


def surrogates(o: Object) -> list[str]:
    """Identity columns that are unique but no business key."""
    return [c.name for c in o.columns if c.description and "surrogate" in c.description and c.name not in o.business_key]


def _is_about(stock: Stock, o: Object, topic: str) -> bool:
    return {
        "views": bool(o.base_table),
        "keys": len(o.business_key) > 1 and bool(stock.links.get(o.name)),
        "company": bool(o.company_column),
        "groups": not o.company_column and len(o.business_key) > 1 and o.business_key[0] in o.group_columns,
        "month": bool(month_columns(o)),
        "surrogate": bool(surrogates(o)) and bool(o.business_key),
    }[topic]


def _views(stock: Stock, o: Object) -> str:
    return f"Queries read the views, and not the tables behind them: {o.name}, which shows {o.base_table}."


def _keys(stock: Stock, o: Object) -> str:
    key = stock.links[o.name][0]
    pairs = english.listing([f"{key.from_object}.{c} = {key.to_object}.{p}" for c, p in key.pairs])
    company = ", the company included" if stock.by_name[key.from_object].company_column in key.from_columns else ""
    return f"Joins are on the whole key{company}: {pairs}. Part of a key matches rows that do not belong together."


def _company(stock: Stock, o: Object) -> str:
    example = f"{o.name}.{o.company_column} for {o.name}"
    return f"A query filters the company column of the table it starts from: {example}. The name of that column differs by module."


def _groups(stock: Stock, o: Object) -> str:
    key = english.listing(o.business_key)
    return f"Masters shared by companies belong to a group: {o.name} has {key}. Join on the group as well as the number."


def _month(stock: Stock, o: Object) -> str:
    name = f"{o.name}.{month_columns(o)[0]}"
    return f"A month is stored as its first day. For March 2024 compare {name} with '20240301'."


def _surrogate(stock: Stock, o: Object) -> str:
    key = english.listing(o.business_key)
    return f"{surrogates(o)[0]} only numbers the rows. Identify and join rows by the business key: {key} for {o.name}."


KINDS = (
    Kind("topic_rule", 20, draw_topic, asks="topic"),
    Kind("rule_reason", 45, draw_reason),
    object_kind("rules_for", 35, for_object),
)
