"""Queries that can be made better: each habit with an advice and the clean SQL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

from vgpt2.datagen.knowledge.asking import Drawn, Kind
from vgpt2.datagen.knowledge.draws import unreal_query
from vgpt2.datagen.knowledge.objects import first_query, owner_filters
from vgpt2.datagen.knowledge.stock import Stock
from vgpt2.datagen.knowledge.workflows import dates
from vgpt2.datagen.language import english
from vgpt2.datagen.language.answers import fenced
from vgpt2.datagen.plans.plan import ColumnRef, Exists, Filter, Output, Query, Source, render_sql
from vgpt2.datagen.questions.world import World
from vgpt2.sql.schema import ForeignKey, Object

Advised = tuple[str, str, Query]  # (SQL as it was, advice, the better query)


def select_star(stock: Stock, o: Object, rng: Random) -> Advised | None:
    asked = first_query(o, rng)
    if asked is None:
        return None
    slow = "SELECT *\n" + render_sql(asked).split("\n", 1)[1]
    named = first_query(o, Random(slow))
    assert named is not None
    better = replace(named, filters=asked.filters)
    return slow, f"Name the columns you need: {o.name} has {len(o.columns)} of them, and all would be read and sent.", better


def function_on_filter(stock: Stock, o: Object, rng: Random) -> Advised | None:
    query, found = first_query(o, rng, extra=1), dates(o)
    if query is None or not found:
        return None
    column, year = ColumnRef(o.name, rng.choice(found)), rng.randint(2019, 2025)
    span = (Filter(column, ">=", f"'{year}0101'"), Filter(column, "<", f"'{year + 1}0101'"))
    slow = render_sql(query) + ("\nAND " if query.filters else "\nWHERE ") + f"YEAR({column}) = {year}"
    return (
        slow,
        f"A function on {column} hides it from an index. Compare the bare column with a range.",
        replace(query, filters=(*query.filters, *span)),
    )


def no_company(stock: Stock, o: Object, rng: Random) -> Advised | None:
    query = first_query(o, rng)
    if query is None or not o.company_column or not query.filters:
        return None
    slow = render_sql(replace(query, filters=()))
    better = replace(query, filters=owner_filters(o))
    return slow, f"Filter by {o.name}.{o.company_column}: without it the rows of all companies are read.", better


def no_hint(stock: Stock, o: Object, rng: Random) -> Advised | None:
    query = first_query(o, rng)
    if query is None:
        return None
    return (
        render_sql(query).replace(" WITH (NOLOCK)", ""),
        f"Read {o.name} WITH (NOLOCK), so that the report neither waits for locks nor sets any.",
        query,
    )


def join_for_test(stock: Stock, o: Object, rng: Random) -> Advised | None:
    """A join that only tests whether there are lines, and DISTINCT to mend what it repeats: EXISTS says it at once."""
    query, key = first_query(o, rng, extra=1), _line_key(stock, o, rng)
    if query is None or key is None:
        return None
    child = stock.by_name[key.from_object]
    on = tuple((ColumnRef(child.name, c), ColumnRef(o.name, p)) for c, p in key.pairs)
    better = replace(query, exists=(Exists(Query(Source(child.name), (Output(on[0][0]),)), on),))
    lines = render_sql(query).split("\n")
    condition = " AND ".join(f"{a} = {b}" for a, b in on)
    slow = "\n".join(
        ["SELECT DISTINCT" + lines[0].removeprefix("SELECT"), lines[1], f"JOIN {child.name} WITH (NOLOCK) ON {condition}", *lines[2:]]
    )
    return (
        slow,
        f"{child.name} only serves as a test here: say so with exists. The join repeats {o.name}, and the distinct hides that.",
        better,
    )


def _line_key(stock: Stock, o: Object, rng: Random) -> ForeignKey | None:
    """A key from other rows to the object that settles their company too."""
    keys = [key for key in stock.memory.joinable_keys if key.to_object == o.name and key.from_object in stock.by_name]
    owned = [key for key in keys if stock.by_name[key.from_object].company_column in (None, *key.from_columns)]
    return rng.choice(owned) if owned else None


def leading_wildcard(stock: Stock, o: Object, rng: Random) -> Advised | None:
    texts = [
        c
        for c in o.columns
        if c.type in ("varchar", "char") and (c.length or 0) >= 10 and english.gloss(c.description) and english.is_plain(c.name)
    ]
    query = first_query(o, rng, extra=1)
    if query is None or not texts:
        return None
    column, value = ColumnRef(o.name, rng.choice(texts).name), rng.choice(("A1", "10", "CON", "MAT", "S2"))
    slow = render_sql(replace(query, filters=(*query.filters, Filter(column, "LIKE", f"'%{value}%'"))))
    better = replace(query, filters=(*query.filters, Filter(column, "LIKE", f"'{value}%'")))
    return slow, f"A pattern that begins with a wildcard reads every row. If the beginning of {column} is known, anchor it there.", better


HABITS: tuple[Callable[[Stock, Object, Random], Advised | None], ...] = (
    *(select_star, function_on_filter, no_company, no_hint, join_for_test, leading_wildcard),
)
_PRACTICES: dict[str, tuple[str, ...]] = {
    "select all columns": ("No. Name the columns you need; wide tables such as {table} cost time and memory for nothing.",),
    "put a function around a filter column": (
        "No. Compare the bare column, with a range where a period is meant, so that an index can serve.",
    ),
    "leave out the company filter": ("No. Filter the company column of the first table; else rows of all companies are read and mixed.",),
    "read tables without NOLOCK": ("No. Every table is read WITH (NOLOCK), so that reports and entry do not wait for each other.",),
    "use distinct to remove repeated rows": ("No. Find the join that repeats them; test with exists, or total the lines before the join.",),
    "use a list of keys from a sub-query instead of exists": (
        "Use exists: it stops at the first match, and is safe when the list holds nulls.",
    ),
    "begin a search pattern with a wildcard": ("Avoid it: such a pattern reads every row. Anchor the beginning where you can.",),
    "sort rows that nobody reads in order": ("No. Sort only the final list; sorting inside sub-queries costs time and promises nothing.",),
    "count rows to see whether there are any": ("No. Test with exists, which stops at the first row; a count reads them all.",),
    "join before adding up lines": ("Add up the lines first and join the totals, so that nothing is counted twice.",),
}


def draw_query(stock: Stock, world: World, real: bool, rng: Random) -> Drawn | None:
    """A query with one bad habit, or one on an invented table."""
    o = rng.choice(stock.objects)
    advised = rng.choice(HABITS)(stock, o, rng)
    if advised is None:
        return None
    slow, advice, better = advised
    if not real:
        return unreal_query(stock, o, slow, rng)
    said = f"{advice}\n{fenced(render_sql(better))}"
    return Drawn({"sql": fenced(slow)}, better.tables, lambda words: said)


def draw_practice(stock: Stock, world: World, real: bool, rng: Random) -> Drawn | None:
    """A habit in words."""
    practice = rng.choice(sorted(_PRACTICES))
    wide = max(stock.objects, key=lambda o: (len(o.columns), o.name))
    return Drawn({"practice": practice}, (), lambda words: words.choice(_PRACTICES[practice]).format(table=wide.name))


KINDS = (Kind("tune_query", 90, draw_query), Kind("topic_advice", 10, draw_practice, asks="topic"))
