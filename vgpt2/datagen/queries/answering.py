"""Answers to questions for SQL: the query's plan in short lines, then the statement; or the statement alone.

A plan names tables and columns of the catalogue only, never a CTE, so that every name in it can be looked up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vgpt2.datagen.language import answers, english
from vgpt2.datagen.plans.plan import ColumnRef, render_sql
from vgpt2.datagen.queries.asks import Ask, Measure, Pairs, as_query
from vgpt2.datagen.queries.criteria import UNSAID, Criterion
from vgpt2.datagen.queries.lexicon import Lexicon
from vgpt2.sql.render import estimate_tokens

_AGGREGATES = {"SUM": "sum of", "AVG": "average of", "MIN": "lowest", "MAX": "highest", "COUNT DISTINCT": "different values of"}
_SHORT_LISTS = (99, 4, 2)  # names in a line before the rest is only counted


def answer(ask: Ask, lexicon: Lexicon, *, with_plan: bool, max_tokens: int) -> str:
    """The plan and the SQL, or the SQL alone."""
    sql = answers.fenced(render_sql(as_query(ask)))
    return f"{plan(ask, lexicon, max_tokens=max_tokens)}\n\n{sql}" if with_plan else sql


def plan(ask: Ask, lexicon: Lexicon, *, max_tokens: int) -> str:
    """Three to six lines on tables, joins, filters, grain and output; shorter ones, and at last only three, until they fit."""
    for most in _SHORT_LISTS:
        lines = list(_lines(ask, lexicon, most))
        text = "\n".join(lines)
        if estimate_tokens(text) <= max_tokens:
            return text
    return _shortest(ask)


def _lines(ask: Ask, lexicon: Lexicon, most: int) -> Iterator[str]:
    described = english.noun(lexicon.catalogue.objects[ask.table].description) if most > 4 else None
    yield f"Rows: {ask.table}" + (f", {described}" if described else "")
    ties = list(_ties(ask))
    if ties:
        yield "Join: " + "; ".join(ties)
    if ask.criteria:
        yield "Filter: " + _listed([_filter(f.column, f.operator, f.value, ask) for c in ask.criteria for f in c.filters], most)
    yield "Grain: " + _grain(ask, lexicon, most)
    yield "Output: " + _listed(_outputs(ask), most)
    if ask.having:
        yield f"Groups: only with {_measure(ask, ask.measures[0])} {' '.join(ask.having)}"
    order = _order(ask)
    if order:
        yield "Order: " + order


def _shortest(ask: Ask) -> str:
    """Three lines of names: the tables, what they are joined or filtered by, the output."""
    most = _SHORT_LISTS[-1]
    ties = [ours.column for pairs in _all_pairs(ask) for ours, _ in pairs]
    middle = f"Join: {_listed(ties, 4)}" if ties else f"Filter: {_listed([c.column.column for c in ask.criteria], most)}"
    if not ties and not ask.criteria:
        middle = "Filter: none"
    return "\n".join((f"Tables: {_listed(ask.tables, 4)}", middle, f"Output: {_listed(_outputs(ask), most)}"))


def _ties(ask: Ask) -> Iterator[str]:
    for link in ask.links:
        where_given = ", where there is one" if link.optional else ""
        yield f"{link.table} on {_on(link.on)}{where_given}"
    for details in ask.details:
        column = details.measure.column
        made = f"{_AGGREGATES[details.measure.function]} {column.column}" if column else "row count"
        yield f"{details.table} on {_on(details.on)}{_with(details.criteria)}, {made} first so that no row of {ask.table} repeats"
    if ask.tested:
        match = f"a match in {ask.tested.table} on {_on(ask.tested.on)}{_with(ask.tested.criteria)}"
        yield f"rows {'without' if ask.tested.negated else 'with'} {match}"


def _with(criteria: Sequence[Criterion]) -> str:
    """What holds for the rows of the other table besides."""
    said = [f"{f.column.column} {f.operator} {f.value}" for c in criteria if c.kind != UNSAID for f in c.filters]
    return " with " + ", ".join(said) if said else ""


def _all_pairs(ask: Ask) -> list[Pairs]:
    return [link.on for link in ask.links] + [d.on for d in ask.details] + ([ask.tested.on] if ask.tested else [])


def _on(pairs: Pairs) -> str:
    return ", ".join(a.column if a.column == b.column else f"{a.column} = {b.column}" for a, b in pairs)


def _grain(ask: Ask, lexicon: Lexicon, most: int) -> str:
    if ask.kind in ("count", "total"):
        return "one row in all"
    if ask.kind == "latest":
        return f"{ask.top or 1} of the rows of each {_listed(_columns(ask.per, ask), most)}"
    if ask.kind == "distinct":
        return "each combination once" if len(ask.shown) > 1 else "each value once"
    if ask.per and ask.kind != "running":
        return "one row per " + _listed(_columns(ask.per, ask), most)
    table = next((link.table for link in ask.links if link.lines), ask.table)
    key = lexicon.table(table).key
    return f"one row per {_listed(key, most)}" if key else f"one row per row of {table}"


def _outputs(ask: Ask) -> list[str]:
    found = _columns(ask.per, ask) if ask.kind != "running" else []
    found += [name for name in _columns(ask.shown, ask) if name not in found]
    if ask.days:
        start, end = ask.days
        found.append(f"days from {_name(start, ask)} to {_name(end, ask) if end else 'today'}")
    return found + [_measure(ask, measure) for measure in (*ask.measures, *(details.measure for details in ask.details))]


def _measure(ask: Ask, measure: Measure) -> str:
    if measure.column is None:
        return "number of rows"
    word = "running sum of" if ask.kind == "running" else _AGGREGATES[measure.function]
    return f"{word} {_name(measure.column, ask)}"


def _order(ask: Ask) -> str:
    limits: list[str] = []
    if ask.sorting:
        by = _name(ask.sorting.by, ask) if ask.sorting.by else "the aggregate"
        limits.insert(0, by + (" descending" if ask.sorting.descending else ""))
    if ask.top and ask.kind != "latest":
        limits.append(f"first {ask.top}")
    return ", ".join(limits)


def _filter(column: ColumnRef, operator: str, value: str, ask: Ask) -> str:
    return f"{_name(column, ask)} {operator} {value}"


def _columns(refs: Sequence[ColumnRef], ask: Ask) -> list[str]:
    return [_name(ref, ask) for ref in refs]


def _name(ref: ColumnRef, ask: Ask) -> str:
    """The column, with its table where the query reads several."""
    return ref.column if ref.table == ask.table else str(ref)


def _listed(names: Sequence[str], most: int) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
