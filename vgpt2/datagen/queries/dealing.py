"""Which phrase asks next, and whether for something absent: in blocks, so that each phrase has its share.

Kinds come in proportion to their weights. A block is one phrase, said as often as one absent question is due.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from random import Random

from vgpt2.datagen.queries.styles import STYLES
from vgpt2.datagen.queries.wording import Phrase, draw_phrase

_GOLDEN = 0.6180339887498949  # its multiples spread evenly on [0, 1)


class Deck:
    """The phrases of one call, in order."""

    def __init__(self, kinds: Mapping[str, float], absent: float, seed: str, *, held_out: bool) -> None:
        self._kinds, self._held_out, self._seed = dict(kinds), held_out, seed
        self._block = round(1 / absent) if absent else 0
        self._start = Random(f"{seed}/deck").random()
        self._blocks = self._left = 0
        self._absent_due = False
        self._phrase: Phrase | None = None
        self._follow_ups: dict[str, int] = {}

    def next(self) -> tuple[Phrase, bool] | None:
        """The phrase, and whether it shall ask for something absent; None when no kind is left."""
        if not self._kinds:
            return None
        if self._phrase is None or not self._left:
            self._open()
        assert self._phrase is not None
        self._left -= 1
        return self._phrase, self._absent_due

    def settle(self) -> None:
        """The absent question that was due has been made: it is the first of its block, since a block may be cut short."""
        self._absent_due = False

    def drop(self, kind: str) -> None:
        """The catalogue offers nothing for the kind."""
        self._kinds.pop(kind, None)
        self._left = 0

    def follow_up_is_absent(self, change: str) -> bool:
        """Whether the next follow-up turn of this sort asks for something absent: every n-th, from a drawn start."""
        uses = self._follow_ups.get(change, 0)
        self._follow_ups[change] = uses + 1
        return bool(self._block) and (uses + Random(f"{self._seed}/{change}").randrange(self._block)) % self._block == 0

    def _open(self) -> None:
        rng = Random(f"{self._seed}/deck/{self._blocks}")
        place = (self._start + self._blocks * _GOLDEN) % 1.0
        ends = list(accumulate(self._kinds.values()))
        kind = next(kind for kind, end in zip(self._kinds, ends) if place * ends[-1] < end)
        self._phrase = draw_phrase(kind, rng.choice(STYLES), rng, held_out=self._held_out)
        self._blocks += 1
        self._left = self._block or 1
        self._absent_due = bool(self._block)
