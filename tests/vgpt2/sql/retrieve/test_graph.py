"""Ways along foreign keys, against all ways tried one by one."""

from __future__ import annotations

import math
from itertools import pairwise, permutations
from random import Random

import pytest

from vgpt2.sql.catalogue import Catalogue, Column, ForeignKey, Object
from vgpt2.sql.retrieve.graph import KeyGraph


def graph(keys: list[tuple[str, str]]) -> KeyGraph:
    names = sorted({name for key in keys for name in key})
    objects = [Object(name, "table", (Column("Id"),)) for name in names]
    catalogue = Catalogue(objects, [ForeignKey(child, ("Id",), parent, ("Id",)) for child, parent in keys])
    return KeyGraph(catalogue, {name: name for name in names})


def test_keys_join_in_both_directions_and_parents_are_counted() -> None:
    g = graph([("Line", "Header"), ("Detail", "Header"), ("Line", "Header")])
    assert g.joins("Header", "Line")
    assert g.joins("Line", "Header")
    assert not g.joins("Line", "Detail")
    assert (g.in_degree("Header"), g.in_degree("Line")) == (2, 0)


def test_a_way_leads_through_what_joins_two_objects() -> None:
    g = graph([("Item", "Order"), ("Order", "Customer")])
    assert g.path("Item", {"Customer"}, longest=2) == ["Item", "Order", "Customer"]
    assert g.path("Item", {"Customer"}, longest=1) == []
    assert g.path("Item", {"Item"}, longest=3) == []


def test_a_way_through_a_company_is_dear() -> None:
    through_all = [(name, "Company") for name in ("Item", "Customer", "A", "B", "C", "D", "E", "F", "G")]
    g = graph([*through_all, ("Item", "Order"), ("Order", "Customer")])
    assert g.path("Item", {"Customer"}, longest=3) == ["Item", "Order", "Customer"]


@pytest.mark.parametrize("seed", range(20))
def test_the_cheapest_way_is_found(seed: int) -> None:
    rng = Random(seed)
    names = "ABCDEF"
    keys = [(a, b) for a in names for b in names if a < b and rng.random() < 0.4] or [("A", "B")]
    g = graph(keys)
    neighbours = {name: {b if a == name else a for a, b in keys if name in (a, b)} for name in names}

    def price(way: tuple[str, ...]) -> float:
        return sum(math.log2(2 + len(neighbours[name])) for name in way[1:-1])

    ways = [("A", *middle, "F") for n in range(3) for middle in permutations("BCDE", n)]
    real = [way for way in ways if all(b in neighbours[a] for a, b in pairwise(way))]
    found = g.path("A", {"F"}, longest=3)
    assert bool(found) == bool(real)
    if real:
        assert tuple(found) in real
        assert price(tuple(found)) == pytest.approx(min(map(price, real)))
