"""What one chat calls columns and tables: drawn once for each, so that a question and its plan can be followed.

`Words.instead` says single things otherwise, which is how a question comes to ask for something that is not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from vgpt2.datagen.plans.plan import ColumnRef
from vgpt2.datagen.queries.lexicon import Lexicon

Naming = Literal["words", "names", "mixed"]  # mixed: tables in words, columns by name


@dataclass(frozen=True)
class Words:
    """What one chat calls things."""

    lexicon: Lexicon
    naming: Naming
    rng: Random
    terse: bool = False
    columns: dict[ColumnRef, str] = field(default_factory=dict)
    rows: dict[str, tuple[str, str]] = field(default_factory=dict)
    instead: Mapping[ColumnRef | str, str] = field(default_factory=dict)  # other words for a column, or for the rows of a table

    def column(self, ref: ColumnRef, *, alone: bool = True) -> str:
        """The column; `alone` when the sentence leaves no doubt about its table."""
        if ref in self.instead:
            return self.instead[ref]
        forms = self.lexicon.words(ref) if self.naming == "words" else ()
        if not forms:
            return ref.column if alone else str(ref)
        if ref not in self.columns:
            full = not self.terse and self.rng.random() < 0.6
            self.columns[ref] = forms[0] if full else self.rng.choice(forms)
        return self.columns[ref]

    def of_other(self, ref: ColumnRef) -> str:
        """A column of a table that the question is not mainly about."""
        if self.is_named(ref):
            return self.column(ref, alone=False)
        return f"{self.column(ref)} of the {self.row(ref.table)}"

    def is_named(self, ref: ColumnRef) -> bool:
        return self.naming != "words" or (ref not in self.instead and not self.lexicon.words(ref))

    def row(self, table: str) -> str:
        return self._pair(table)[0]

    def things(self, table: str) -> str:
        return self._pair(table)[1]

    def _pair(self, table: str) -> tuple[str, str]:
        if table in self.instead:
            return f"{self.instead[table]} row", f"{self.instead[table]} rows"
        if table not in self.rows:
            named = self.naming == "names"
            self.rows[table] = (f"{table} row", f"{table} rows") if named else self.rng.choice(self.lexicon.table(table).things)
        return self.rows[table]
