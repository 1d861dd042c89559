"""How much of a catalogue a set speaks of: the objects and columns that rewarded answers use, by module."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vgpt2.sql.catalogue import Catalogue

ENOUGH = 3  # answers after which a column counts as taught
_WORD = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True)
class Covered:
    """One module: of its objects those in an answer, of its columns those in one and in three."""

    module: str
    objects: int
    objects_used: int
    columns: int
    columns_used: int
    columns_taught: int


def uses(ask: str, answer: str, catalogue: Catalogue) -> tuple[set[str], set[tuple[str, str]]]:
    """Objects that the answer names, and its columns of them; where it names none, the question's last line says whose they are."""
    words = set(_WORD.findall(answer))
    objects = words & catalogue.objects.keys()
    owners = objects or set(_WORD.findall(ask.rstrip().rpartition("\n")[2])) & catalogue.objects.keys()
    return owners, {(name, word) for name in owners for word in words & catalogue.objects[name].column_index.keys()}


def total(modules: Sequence[Covered]) -> Covered:
    """All modules as one."""
    return Covered(
        "",
        sum(m.objects for m in modules),
        sum(m.objects_used for m in modules),
        sum(m.columns for m in modules),
        sum(m.columns_used for m in modules),
        sum(m.columns_taught for m in modules),
    )


def coverage(objects: Mapping[str, int], columns: Mapping[tuple[str, str], int], catalogue: Catalogue) -> list[Covered]:
    """Every module, then objects of none, each with how much of it is used."""
    grouped = {**catalogue.modules, "": tuple(name for name, o in catalogue.objects.items() if not o.module)}
    covered = []
    for module, names in grouped.items():
        if names:
            counts = [columns.get((name, column), 0) for name in names for column in catalogue.objects[name].column_names]
            used, taught = sum(n > 0 for n in counts), sum(n >= ENOUGH for n in counts)
            covered.append(Covered(module, len(names), sum(name in objects for name in names), len(counts), used, taught))
    return covered
