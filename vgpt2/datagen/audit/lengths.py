"""How long the sequences of a set are in tokens: what a training config must have room for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CHARACTERS = 4.0  # a token of mixed prose and SQL, where no tokenizer is given
BINS = 24

Counter = Callable[[str], int]


@dataclass(frozen=True)
class Lengths:
    """Tokens of a set's sequences, without the few that a chat template adds."""

    sequences: int
    total: int
    p50: int
    p90: int
    p99: int
    longest: int
    limit: int
    over: int  # sequences longer than the limit: the trainer drops them
    bins: tuple[int, ...]  # sequences by length, in equal steps from 0 to the longest
    is_exact: bool

    @property
    def over_share(self) -> float:
        return self.over / max(1, self.sequences)


@cache
def token_counter(tokenizer: Path | None) -> Counter:
    """Tokens of a text by the folder's tokenizer.json; an estimate of four characters a token where there is none."""
    if tokenizer is None:
        return lambda text: round(len(text) / CHARACTERS)
    from tokenizers import Tokenizer

    file = tokenizer / "tokenizer.json"
    if not file.is_file():
        raise ValueError(f"{file}: no such file; --tokenizer names a folder that holds tokenizer.json")
    loaded = Tokenizer.from_file(str(file))
    return lambda text: len(loaded.encode(text, add_special_tokens=False).ids)


def lengths(tokens: Sequence[int], *, limit: int, is_exact: bool) -> Lengths:
    ordered = sorted(tokens) or [0]
    longest = ordered[-1]
    bins = [0] * BINS
    for value in tokens:
        bins[min(BINS - 1, BINS * value // max(1, longest))] += 1
    p50, p90, p99 = (ordered[min(len(ordered) - 1, len(ordered) * cut // 100)] for cut in (50, 90, 99))
    over = sum(value > limit for value in tokens)
    return Lengths(len(tokens), sum(tokens), p50, p90, p99, longest, limit, over, tuple(bins), is_exact)
