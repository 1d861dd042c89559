"""When two texts count as the same: exactly, but for values, or in nine of ten runs of three words."""

from __future__ import annotations

import re
import zlib
from array import array
from collections import defaultdict
from collections.abc import Sequence
from math import ceil

import numpy as np

Shingles = array  # of 32-bit hashes, each once

_BLANKS = re.compile(r"\s+")
_VALUES = re.compile(r"'[^']*'|(?<!\w)\d+(?!\w)")
_WORDS = re.compile(r"[\w.#]+|[^\w\s]+")
_RUN = 3  # words


def normalised(text: str) -> str:
    return _BLANKS.sub(" ", text).strip().casefold()


def masked(text: str) -> str:
    """The text as near duplicates share it."""
    return _VALUES.sub("#", normalised(text))


def shingles(text: str) -> Shingles[int]:
    """The runs of three words of a masked text, hashed; of a shorter text the whole of it."""
    words = _WORDS.findall(masked(text))
    runs = {" ".join(words[n : n + _RUN]) for n in range(max(1, len(words) - _RUN + 1))}
    return array("I", {zlib.crc32(run.encode()) for run in runs})


def earlier_twins(texts: Sequence[Shingles[int]], share: float) -> list[int | None]:
    """For each text the position of one before it that is like it (Jaccard similarity of at least `share`); None where there is none.

    Exact, by prefix filtering: with every text's shingles in one order, rarest first, two like texts meet within their first
    |x| - ceil(share |x|) + 1 (Chaudhuri, Ganti, Kaushik 2006, A primitive operator for similarity joins).
    """
    ordered = _rarest_first(texts)
    by_shingle: dict[int, list[int]] = defaultdict(list)
    twins: list[int | None] = []
    for position, text in enumerate(ordered):
        prefix = text[: len(text) - ceil(share * len(text)) + 1]
        twins.append(_first_like(set(text), prefix, by_shingle, ordered, share))
        if twins[-1] is None:  # what is like a later text is like it or like its twin; a cluster is kept by its first
            for shingle in prefix:
                by_shingle[shingle].append(position)
    return twins


def _first_like(
    text: set[int], prefix: Sequence[int], by_shingle: dict[int, list[int]], ordered: Sequence[list[int]], share: float
) -> int | None:
    seen: set[int] = set()
    for shingle in prefix:
        for other in by_shingle.get(shingle, ()):
            if other not in seen:
                seen.add(other)
                size = len(ordered[other])
                if share * len(text) <= size <= len(text) / share:
                    common = len(text.intersection(ordered[other]))
                    if common >= share * (len(text) + size - common):
                        return other
    return None


def _rarest_first(texts: Sequence[Shingles[int]]) -> list[list[int]]:
    """Every text's shingles in the order of how many texts have them, equal ones by their hash."""
    if not texts:
        return []
    sizes = [len(text) for text in texts]
    every = np.concatenate([np.frombuffer(text, dtype=np.uint32) if text else np.empty(0, np.uint32) for text in texts])
    _, place, counts = np.unique(every, return_inverse=True, return_counts=True)
    order = np.lexsort((every, counts[place], np.repeat(np.arange(len(texts)), sizes)))
    return [part.tolist() for part in np.split(every[order], np.cumsum(sizes)[:-1])]
