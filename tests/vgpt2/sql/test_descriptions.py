"""Descriptions laid over a bare catalogue."""

from __future__ import annotations

from vgpt2.sql.catalogue import Catalogue, Column, ForeignKey, Object
from vgpt2.sql.descriptions import described_by


def test_missing_descriptions_are_filled_and_others_kept() -> None:
    columns = (Column("Id", "int"), Column("Name", description="its own"), Column("Extra"))
    bare = Catalogue([Object("A", "table", columns), Object("B", "table", (Column("Id"),))], [ForeignKey("B", ("Id",), "A", ("Id",))])
    said = (Column("Id", "bigint", description="number"), Column("Name", description="another"), Column("Gone", description="x"))
    filled = described_by(bare, Catalogue([Object("A", "view", said, description="things"), Object("C", "view", ())]))
    a = filled.objects["A"]
    assert (a.kind, a.description) == ("table", "things")
    assert [(c.name, c.type, c.description) for c in a.columns] == [
        ("Id", "int", "number"),
        ("Name", None, "its own"),
        ("Extra", None, None),
    ]
    assert filled.objects["B"] is bare.objects["B"]
    assert filled.foreign_keys == bare.foreign_keys
