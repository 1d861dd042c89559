"""Named corruptions of right answers: each makes exactly one defect, on the plan or on the verdict, never on the text.

A fault on SQL is found again by the checker, under its codes and no other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from vgpt2.datagen.fakes import borrowed_column, fake_column
from vgpt2.datagen.plan import Join, Output, Query
from vgpt2.datagen.questions import Question
from vgpt2.datagen.sides import Side


@dataclass(frozen=True)
class Fault:
    name: str
    codes: tuple[str, ...]  # what the checker finds in its answers, in alphabetical order
    apply: Callable[[Query, Side, Random], Query | None]  # None where the query offers no place for it


def missing_nolock(query: Query, side: Side, rng: Random) -> Query:
    """One table read without its hint."""
    at = rng.randrange(len(query.tables))
    if at == 0:
        return replace(query, source=replace(query.source, nolock=False))
    join = query.joins[at - 1]
    return _with_join(query, at - 1, replace(join, source=replace(join.source, nolock=False)))


def incomplete_join(query: Query, side: Side, rng: Random) -> Query | None:
    """One column of a join's key left out: rows of other companies, months or orders are matched too."""
    places = [at for at, join in enumerate(query.joins) if len(join.on) > 1]
    if not places:
        return None
    at = rng.choice(places)
    join, dropped = query.joins[at], rng.randrange(len(query.joins[at].on))
    return _with_join(query, at, replace(join, on=join.on[:dropped] + join.on[dropped + 1 :]))


def invented_column(query: Query, side: Side, rng: Random) -> Query | None:
    """A selected column replaced by one that exists nowhere in its table, though it sounds so."""

    def invent(output: Output) -> str | None:
        assert output.column is not None
        table = side.catalogue.objects[output.column.table]
        fake = fake_column(table, table.column_index[output.column.column], rng)
        return fake.name if fake else None

    return _with_other_column(query, invent, rng)


def column_of_another_table(query: Query, side: Side, rng: Random) -> Query | None:
    """A selected column replaced by one that only another table of the module has."""

    def borrow(output: Output) -> str | None:
        assert output.column is not None
        found = borrowed_column(side.catalogue, side.schema_names, side.catalogue.objects[output.column.table], rng)
        return found[0] if found else None

    return _with_other_column(query, borrow, rng)


def company_by_another_name(query: Query, side: Side, rng: Random) -> Query | None:
    """The filter on whose rows are meant put on a company column of another module, or plain Co: `WHERE APTH.Co = 1`."""
    table = side.catalogue.objects[query.source.table]
    others = sorted({o.company_column for o in side.schema_objects() if o.company_column} - set(table.column_names))
    places = [at for at, f in enumerate(query.filters) if f.column.column == table.company_column]
    if not others or not places:
        return None
    name = "Co" if "Co" in others and rng.random() < 0.5 else rng.choice(others)
    renamed = replace(query.filters[places[0]], column=replace(query.filters[places[0]].column, column=name))
    return replace(query, filters=(*query.filters[: places[0]], renamed, *query.filters[places[0] + 1 :]))


FAULTS = {
    fault.name: fault
    for fault in (
        Fault("missing_nolock", ("missing_nolock",), missing_nolock),
        Fault("incomplete_join", ("incomplete_join",), incomplete_join),
        Fault("invented_column", ("unknown_column",), invented_column),
        Fault("company_by_another_name", ("missing_company_filter", "unknown_column"), company_by_another_name),
        Fault("column_of_another_table", ("unknown_column",), column_of_another_table),
    )
}
REFUSES_REAL, ACCEPTS_FAKE = "refuses_real", "accepts_fake"


def wrong_verdict(question: Question) -> tuple[str, str]:
    """(fault, answer) that denies the real name the question is about, or takes its invented one for real; same form and length."""
    assert question.subject is not None
    is_real = question.subject.is_real
    return (REFUSES_REAL if is_real else ACCEPTS_FAKE), question.subject.verdict(real=not is_real)


def _with_join(query: Query, at: int, join: Join) -> Query:
    return replace(query, joins=(*query.joins[:at], join, *query.joins[at + 1 :]))


def _with_other_column(query: Query, rename: Callable[[Output], str | None], rng: Random) -> Query | None:
    """The query with one selected column that is neither grouped by nor filtered on renamed."""
    free = [at for at, output in enumerate(query.outputs) if output.column is not None and output.column not in query.group_by]
    if not free:
        return None
    at = rng.choice(free)
    output = query.outputs[at]
    name = rename(output)
    if name is None or output.column is None:
        return None
    renamed = replace(output, column=replace(output.column, column=name))
    return replace(query, outputs=(*query.outputs[:at], renamed, *query.outputs[at + 1 :]))
