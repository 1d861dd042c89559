"""Foreign keys as a graph of object groups, and the cheapest ways between them: those through an object all others name are dear."""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Collection

from vgpt2.sql.catalogue import Catalogue


class KeyGraph:
    """Which groups a foreign key joins, and how many point at each."""

    def __init__(self, catalogue: Catalogue, group_of: dict[str, str]) -> None:
        self._neighbours: dict[str, set[str]] = defaultdict(set)
        self._children: dict[str, set[str]] = defaultdict(set)
        for key in catalogue.foreign_keys:
            child, parent = group_of[key.from_object], group_of[key.to_object]
            if child != parent:
                self._neighbours[child].add(parent)
                self._neighbours[parent].add(child)
                self._children[parent].add(child)

    def in_degree(self, name: str) -> int:
        """How many groups hold a foreign key to this one."""
        return len(self._children.get(name, ()))

    def joins(self, a: str, b: str) -> bool:
        return b in self._neighbours.get(a, ())

    def path(self, start: str, goals: Collection[str], *, longest: int) -> list[str]:
        """The cheapest way from `start` to one of the goals over at most `longest` keys, both ends included; empty where there is none.

        A step costs the logarithm of the number of keys at the object it leads to, so that a way through a company or a batch master
        is the last choice. Ties are broken by name.
        """
        heap: list[tuple[float, int, tuple[str, ...]]] = [(0.0, 0, (start,))]
        done: set[tuple[str, int]] = set()
        while heap:
            cost, steps, way = heapq.heappop(heap)
            here = way[-1]
            if here in goals and steps:
                return list(way)
            if steps == longest or (here, steps) in done:
                continue
            done.add((here, steps))
            for other in sorted(self._neighbours.get(here, ())):
                if other not in way:
                    price = 0.0 if other in goals else math.log2(2 + len(self._neighbours[other]))
                    heapq.heappush(heap, (cost + price, steps + 1, (*way, other)))
        return []
