"""Questions that go through all columns of the side in turn, so that none is left out by chance."""

from __future__ import annotations

from random import Random

from vgpt2.datagen.queries.asks import Ask
from vgpt2.datagen.queries.draft import Draft
from vgpt2.datagen.queries.lexicon import Lexicon

_COLUMNS = 6  # of one question
_GOLDEN = 0.6180339887498949  # multiples of it spread evenly on a circle, however many there are


def start_of(seed: str, items: int) -> int:
    """Where a call begins among the items: calls whose seed texts end in 0, 1, 2 ... begin evenly spread."""
    number = seed.rpartition("/")[2]
    return int((int(number) * _GOLDEN % 1.0 if number.isdigit() else Random(seed).random()) * items)


def batches(lexicon: Lexicon, seed: str) -> list[tuple[str, tuple[str, ...]]]:
    """(table, some of its columns) until all columns have been named once; which ones stand together follows from the seed text."""
    found = []
    for name in lexicon.names:
        columns = list(lexicon.catalogue.objects[name].column_names)
        Random(f"{seed}/{name}").shuffle(columns)
        found += [(name, tuple(columns[at : at + _COLUMNS])) for at in range(0, len(columns), _COLUMNS)]
    return found


def ask_for(draft: Draft, columns: tuple[str, ...]) -> Ask:
    """A list of the columns, for an owner and at most one condition besides."""
    shown = draft.table.in_order(columns)
    return Ask("list", draft.table.name, draft.criteria(draft.a_few(2, 3), avoid=shown), shown, sorting=draft.sorting(shown, 0.15))
