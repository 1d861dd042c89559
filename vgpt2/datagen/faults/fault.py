"""What a fault is: a named corruption of a right query, with what it teaches and how the checker finds it, if it can."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from vgpt2.datagen.faults.edits import Change, on_any_part
from vgpt2.datagen.names.sides import Side
from vgpt2.datagen.plans.plan import Query, render_sql

SEMANTIC = "semantic"


@dataclass(frozen=True)
class Fault:
    """`apply` gives the broken plan, or SQL where only the writing is wrong; None where the query offers no place for it.

    `codes` are the checker's errors in its answers, in alphabetical order and as often as they occur: none where the query runs and
    means something else. `warnings` are what the checker merely warns of.
    """

    name: str
    teaches: str
    codes: tuple[str, ...]
    apply: Callable[[Query, Side, Random], Query | str | None]
    warnings: tuple[str, ...] = ()

    @property
    def found_by(self) -> str:
        return ", ".join(dict.fromkeys(self.codes + self.warnings)) or SEMANTIC

    @property
    def is_semantic(self) -> bool:
        return not self.codes and not self.warnings


def fault(name: str, change: Change, *codes: str, teaches: str) -> Fault:
    """A fault made in any one SELECT of a plan."""
    return Fault(name, teaches, codes, on_any_part(change))


def sql_of(broken: Query | str) -> str:
    return broken if isinstance(broken, str) else render_sql(broken)
