"""Worlds to make questions of: the bundled catalogue, a plain shop, and one with names that nobody would choose."""

import json

import pytest

from vgpt2.datagen.names.real import load_names
from vgpt2.datagen.questions.recipes import training_side
from vgpt2.datagen.questions.world import World

CRYPTIC = {
    "a": "b*:int c:varchar d:decimal e:date",
    "b": "b*:int c*:int d:decimal amount:decimal",
    "Order Details": "Order No*:int Line#*:int unit price:decimal qty:decimal from:date",
    "Order Heads": "Order No*:int customer's name:varchar total due:decimal due on:date status:int",
    "group": "id*:int select:int [x]:varchar when:date",
    "v9": "id*:int f1:int f2:varchar f3:decimal f4:date f5:decimal",
}
CRYPTIC_KEYS = (("b", "a", ["b"]), ("Order Details", "Order Heads", ["Order No"]), ("v9", "group", ["id"]))


@pytest.fixture(scope="session")
def core_world(core):
    return World(core, training_side(core))


@pytest.fixture(scope="session")
def shop_world(shop):
    return World(shop, training_side(shop))


@pytest.fixture(scope="session")
def cryptic_world(tmp_path_factory):
    """Single letters, reserved words, blanks and brackets; no companies, no descriptions."""
    folder = tmp_path_factory.mktemp("cryptic")
    objects, columns = [], []
    for table, text in CRYPTIC.items():
        parts, name = [], ""
        for word in text.split(" "):
            name = f"{name} {word}".strip()
            if ":" in name:
                parts.append(name.split(":"))
                name = ""
        key = [n.rstrip("*") for n, _ in parts if n.endswith("*")]
        objects.append({"name": table, "kind": "table", "business_key": key})
        columns += [
            {"object": table, "column": n.rstrip("*"), "type": kind, "length": 20 if kind == "varchar" else None} for n, kind in parts
        ]
    keys = [{"from_object": a, "from_columns": c, "to_object": b, "to_columns": c} for a, b, c in CRYPTIC_KEYS]
    for name, rows in (("objects", objects), ("columns", columns), ("foreign_keys", keys)):
        (folder / f"{name}.json").write_text(json.dumps(rows), encoding="utf-8")
    names = load_names(folder)
    return World(names, training_side(names))
