"""Wrong answers in the form of right ones: the lines of a plan that follow from the broken query, and the statement.

A plan is written by `queries.answering`; here only the lines are said anew in which a right and a broken query differ, so that everything
else of the two answers is alike.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from vgpt2.datagen.faults import sql_of
from vgpt2.datagen.language.answers import fenced
from vgpt2.datagen.plans.plan import AGGREGATES, ColumnRef, Output, Query
from vgpt2.sql.catalogue import Catalogue

_SAID = {
    "SUM": "sum of",
    "AVG": "average of",
    "MIN": "lowest",
    "MAX": "highest",
    "COUNT": "count of",
    "COUNT DISTINCT": "different values of",
}
_LABELS = ("Join", "Filter", "Grain", "Output", "Groups", "Order")  # behind 'Rows', or 'Tables' in the shortest plans
_FENCE = "```"


def wrong_answer(answer: str, right: Query, broken: Query | str, catalogue: Catalogue) -> str:
    """The answer with the broken query in place of the right one; a fault of writing leaves the plan as it is."""
    head, _, _ = answer.partition(_FENCE)
    if not isinstance(broken, str) and head.strip():
        head = _plan(head.strip(), right, broken, catalogue) + "\n\n"
    return head + fenced(sql_of(broken))


def outline(query: Query, catalogue: Catalogue) -> dict[str, str]:
    """A plan's lines by their labels, but for the first, which names the tables; CTEs are seen through."""
    ctes = {cte.name: cte.query for cte in query.ctes}
    base = query
    while base.source.table in ctes:
        base = ctes[base.source.table]
    lines: dict[str, str] = {}
    read = [*base.joins, *(query.joins if query is not base else ())]
    joins = [_joined(join.source.table, join.on, join.kind, ctes, base) for join in read]
    joins += [
        f"rows {'without' if test.negated else 'with'} a match in {test.query.source.table} on {_on(test.on)}{_only(test.query, test.on)}"
        for test in base.exists
    ]
    if joins:
        lines["Join"] = "; ".join(joins)
    if base.filters:
        lines["Filter"] = ", ".join(f"{_name(f.column, base)} {f.operator} {f.value}" for f in base.filters)
    lines["Grain"] = _grain(query, base, catalogue)
    lines["Output"] = ", ".join(_output(_traced(output, ctes), base) for output in query.outputs)
    if query.having:
        having = query.having[0]
        said = _output(Output(having.column, having.function), base)
        lines["Groups"] = f"only with {said} {having.operator} {having.value}"
    order = _order(query, base)
    return lines | ({"Order": order} if order else {})


def _plan(plan: str, right: Query, broken: Query, catalogue: Catalogue) -> str:
    """The lines of a plan as the broken query has them: those that stay the same stay as they are written."""
    written = dict(line.partition(": ")[::2] for line in plan.split("\n"))
    before, after = outline(right, catalogue), outline(broken, catalogue)
    for label in _LABELS:
        if before.get(label) != after.get(label) and (label in written or "Rows" in written):
            written[label] = after.get(label, "")
    for label in written.keys() & {"Rows", "Tables"}:
        for old, new in zip(right.reads, broken.reads):
            written[label] = re.sub(rf"(?<!\w){re.escape(old)}(?!\w)", new, written[label])
    order = sorted(written, key=lambda label: _LABELS.index(label) if label in _LABELS else -1)
    return "\n".join(f"{label}: {written[label]}" for label in order if written[label])


def _joined(table: str, on: Sequence[tuple[ColumnRef, ColumnRef]], kind: str, ctes: dict[str, Query], base: Query) -> str:
    if table not in ctes:
        return f"{table} on {_on(on)}" + (", where there is one" if kind == "LEFT JOIN" else "")
    inner = ctes[table]
    measure = inner.outputs[-1]
    made = f"{_SAID[measure.function or '']} {measure.column.column}" if measure.column and measure.function in _SAID else "row count"
    return f"{inner.source.table} on {_on(on)}{_only(inner, on)}, {made} first so that no row of {base.source.table} repeats"


def _only(query: Query, on: Sequence[tuple[ColumnRef, ColumnRef]]) -> str:
    """The conditions on the rows of a test, or of lines added up first, but for those on what ties them to their row."""
    tied = {ref.column for pair in on for ref in pair}
    said = [f"{f.column.column} {f.operator} {f.value}" for f in query.filters if f.column.column not in tied]
    return f" with {', '.join(said)}" if said else ""


def _on(pairs: Sequence[tuple[ColumnRef, ColumnRef]]) -> str:
    return ", ".join(a.column if a.column == b.column else f"{a.column} = {b.column}" for a, b in pairs)


def _grain(query: Query, base: Query, catalogue: Catalogue) -> str:
    windows = [output.window for output in base.outputs if output.window and not output.column]
    if windows and base is not query:
        n = query.filters[0].value if query.filters else "1"
        of = ", ".join(_name(ref, base) for ref in windows[0].partition_by)
        return f"{n} of the rows of each {of}" if of else f"{n} of all rows"
    if query.group_by:
        return "one row per " + ", ".join(_name(ref, base) for ref in query.group_by)
    if any(output.function in AGGREGATES and not output.window for output in query.outputs):
        return "one row in all"
    if query.distinct:
        return "each combination once" if len(query.outputs) > 1 else "each value once"
    lines = [join.source.table for join in base.joins if catalogue.has(join.source.table) and _is_line(join.source.table, base, catalogue)]
    table = catalogue.get(lines[0] if lines else base.source.table)
    return f"one row per {', '.join(table.business_key)}" if table and table.business_key else f"one row per row of {base.source.table}"


def _is_line(table: str, base: Query, catalogue: Catalogue) -> bool:
    return any(key.from_object == table for key in catalogue.joins(table, base.source.table))


def _traced(output: Output, ctes: dict[str, Query]) -> Output:
    """What an output of a CTE is in the CTE."""
    while output.column and output.column.table in ctes:
        inner = ctes[output.column.table].outputs
        name = output.column.column
        found = next((o for o in inner if name == (o.label or (o.column.column if o.column else ""))), None)
        if found is None:
            return output
        output = found
    return output


def _output(output: Output, base: Query) -> str:
    if output.function == "DATEDIFF" and output.column:
        end = _name(output.until, base) if isinstance(output.until, ColumnRef) else "today"
        return f"days from {_name(output.column, base)} to {end}"
    if output.column is None:
        return "row number" if output.window else "number of rows"
    name = _name(output.column, base)
    if output.window:
        return f"running sum of {name}"
    return f"{_SAID[output.function]} {name}" if output.function in _SAID else name


def _order(query: Query, base: Query) -> str:
    said: list[str] = []
    windowed = [output.window.order_by for part in (base, query) for output in part.outputs if output.window]
    order_by = windowed[0] if windowed else query.order_by
    if order_by:
        first = order_by[0]
        by = _name(first.by, base) if isinstance(first.by, ColumnRef) else "the aggregate"
        said.insert(0, by + (" descending" if first.descending else ""))
    return ", ".join(said + ([f"first {query.top}"] if query.top else []))


def _name(ref: ColumnRef, base: Query) -> str:
    """The column, with its table where it is not the one that the query is about."""
    return ref.column if ref.table == base.source.table else str(ref)
