"""Whether a query does what gold does, part by part: tables, columns, joins, filters, groups, aggregates as sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vgpt2.sql.binding import TooMuchWork
from vgpt2.sql.catalogue import Catalogue
from vgpt2.sql.structure import Structure, structure

# in the order in which a difference explains the others
PARTS = ("tables", "joins", "filters", "group_by", "aggregates", "columns")


@dataclass(frozen=True)
class Likeness:
    """Of each part whether it equals gold's, and how many of gold's elements the answer has."""

    equal: Mapping[str, bool]
    present: int
    wanted: int

    @property
    def is_whole(self) -> bool:
        return all(self.equal.values())

    @property
    def first_difference(self) -> str | None:
        return next((part for part, same in self.equal.items() if not same), None)


def likeness(gold: Structure, answer: Structure, *, more_columns: bool = False) -> Likeness:
    """The answer's structure against gold's; an element that gold does not have makes a part unequal and earns nothing.

    With `more_columns` the answer may return columns beside gold's.
    """
    equal = {part: _elements(gold, part) == _elements(answer, part) for part in PARTS}
    if more_columns:
        equal["columns"] = gold.columns <= answer.columns
    pairs = [(_elements(gold, part), _elements(answer, part)) for part in PARTS]
    return Likeness(equal, sum(len(wanted & found) for wanted, found in pairs), sum(len(wanted) for wanted, _ in pairs))


def best_likeness(golds: Sequence[str], answers: Sequence[str], catalogue: Catalogue, *, more_columns: bool = False) -> Likeness | None:
    """The likeness to the accepted query that is nearest; of several SQL texts in an answer the worst counts. None without either."""
    wanted = list(_structures(golds, catalogue))
    found = list(_structures(answers, catalogue))
    if not wanted or len(found) < len(answers) or not found:
        return None
    return min((max((likeness(gold, own, more_columns=more_columns) for gold in wanted), key=_rank) for own in found), key=_rank)


def _structures(texts: Sequence[str], catalogue: Catalogue) -> Iterator[Structure]:
    for text in texts:
        try:
            yield structure(text, catalogue)
        except (TooMuchWork, RecursionError):
            continue


def _elements(found: Structure, part: str) -> frozenset[Any]:
    parts = {
        "tables": found.tables,
        "joins": found.joins,
        "filters": found.filters,
        "group_by": found.group_by,
        "aggregates": found.aggregates,
        "columns": found.columns,
    }
    return parts[part]


def _rank(found: Likeness) -> tuple[bool, float]:
    return found.is_whole, found.present / max(1, found.wanted)
