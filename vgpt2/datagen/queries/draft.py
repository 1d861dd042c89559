"""The choices for one question about one table: its columns, conditions, order and aggregates, drawn at random."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from vgpt2.datagen.plans.plan import ColumnRef
from vgpt2.datagen.queries.asks import Measure, Sorting
from vgpt2.datagen.queries.criteria import Criterion, criterion, owner_criterion
from vgpt2.datagen.queries.lexicon import Lexicon, Table
from vgpt2.sql.schema import ForeignKey

_AGGREGATES = ("SUM", "SUM", "SUM", "AVG", "MIN", "MAX")
_WITHOUT_ORDER = frozenset(("text", "ntext", "image", "xml", "geography", "geometry"))


class Draft:
    """The table a question is about, the generator of its choices, and whether columns without words may be asked for."""

    def __init__(self, lexicon: Lexicon, table: Table, rng: Random, *, by_name: bool) -> None:
        self.lexicon, self.table, self.rng, self.by_name = lexicon, table, rng, by_name

    def columns(self, table: Table, n: int, *, besides: Sequence[str] = ()) -> tuple[ColumnRef, ...]:
        """At most `n` columns that may be asked for, in the table's order."""
        pool = table.object.column_names if self.by_name else tuple(table.words)
        left = [name for name in pool if name not in besides and name != table.owner]
        return table.in_order(self.rng.sample(left, min(n, len(left))))

    def criteria(self, n: int, *, avoid: Sequence[ColumnRef] = ()) -> tuple[Criterion, ...]:
        """Whose rows, where the table says so, and up to `n` more conditions on different columns."""
        owner = owner_criterion(self.table, self.rng)
        found = [owner] if owner else []
        taken = {ref.column for ref in avoid}
        for _ in range(n):
            more = criterion(self.table, self.rng, avoid=taken)
            if more:
                found.append(more)
                taken.add(more.column.column)
        return tuple(found)

    def a_few(self, *weights: int) -> int:
        """0, 1, 2 ... by the weights."""
        return self.rng.choices(range(len(weights)), weights)[0]

    def sorting(self, refs: Sequence[ColumnRef], chance: float) -> Sorting | None:
        """By one of the columns of the draft's table that have an order."""
        columns = self.table.object.column_index
        sortable = [ref for ref in refs if ref.table == self.table.name and columns[ref.column].type not in _WITHOUT_ORDER]
        return Sorting(self.rng.choice(sortable), self.rng.random() < 0.5) if sortable and self.rng.random() < chance else None

    def measure(self, table: Table) -> Measure | None:
        if not table.amounts:
            return None
        return Measure(self.rng.choice(_AGGREGATES), table.ref(self.rng.choice(table.amounts)))

    def foreign_owner(self, key: ForeignKey) -> tuple[Criterion, ...] | None:
        """What must be said of the key's child beside the tie to its parent: its company, where the tie does not carry it over."""
        child = self.lexicon.table(key.from_object)
        if child.object.company_column is None or child.object.company_column in key.from_columns:
            return ()
        found = owner_criterion(child, self.rng)
        return (found,) if found else None
