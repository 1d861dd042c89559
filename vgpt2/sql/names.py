"""Distances between identifiers, and the nearest ones: what a suggestion rests on. Knows nothing of catalogues."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable


def edit_distance(a: str, b: str, limit: int) -> int:
    """Insertions, deletions, substitutions and swaps of neighbours between `a` and `b`; `limit + 1` when there are more than `limit`.

    Optimal string alignment (Damerau 1964 with no substring edited twice), abandoned at the first row above `limit`.
    """
    if abs(len(a) - len(b)) > limit:
        return limit + 1
    before: list[int] = []
    above = list(range(len(b) + 1))
    for i, char in enumerate(a, 1):
        row = [i]
        for j, other in enumerate(b, 1):
            cost = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (char != other))
            if i > 1 and j > 1 and char == b[j - 2] and a[i - 2] == other:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        if min(row) > limit:
            return limit + 1
        before, above = above, row
    return min(above[-1], limit + 1)


class NameIndex:
    """Names found again by what they nearly are. Letter pairs choose the candidates, the edit distance ranks them, ignoring case."""

    def __init__(self, names: Iterable[str]) -> None:
        self._lower = {name: name.lower() for name in names}
        self._by_pair: dict[str, list[str]] = defaultdict(list)
        for name, lower in self._lower.items():
            for pair in _pairs(lower):
                self._by_pair[pair].append(name)

    def nearest(self, name: str, n: int, *, prefix: int = 0) -> list[str]:
        """At most `n` names, nearest first, ties in alphabetical order; a first `prefix` letters in common count as one edit less.

        Empty when nothing is nearer than half of the name's length: a far-fetched suggestion is worse than none.
        """
        wanted = name.lower()
        limit = (len(wanted) + 1) // 2
        ranked = []
        for candidate in self._candidates(wanted):
            lower = self._lower[candidate]
            distance = edit_distance(wanted, lower, limit)
            if distance <= limit and candidate != name:
                bonus = bool(prefix) and wanted[:prefix] == lower[:prefix]
                ranked.append((distance - bonus, candidate))
        return [candidate for _, candidate in sorted(ranked)[:n]]

    def _candidates(self, wanted: str) -> list[str]:
        """The 60 names that share most letter pairs with `wanted`, by the Dice coefficient."""
        shared = Counter(name for pair in _pairs(wanted) for name in self._by_pair.get(pair, ()))
        return sorted(shared, key=lambda name: (-2 * shared[name] / (len(wanted) + len(name) + 2), name))[:60]


def _pairs(lower: str) -> set[str]:
    """Neighbouring letters of a name, its two ends marked: 'ab' -> {'^a', 'ab', 'b$'}."""
    marked = f"^{lower}$"
    return {marked[i : i + 2] for i in range(len(marked) - 1)}
