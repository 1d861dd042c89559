"""The wide recipe: which categories of questions a training set holds and in what shares, and the makers of each.

config = load_wide(Path("configs/datagen/wide.yaml"))
makers()["sql"](make_world(names, config), 200, "1/sql/0")
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from vgpt2 import configfile
from vgpt2.config import NonNegative, Part
from vgpt2.datagen.names import Names
from vgpt2.datagen.queries.settings import QuerySettings
from vgpt2.datagen.recipes import apportioned, training_side
from vgpt2.datagen.world import Maker, World

if TYPE_CHECKING:
    from vgpt2.datagen.readers import Document
    from vgpt2.sql.glossary import Glossary

DEFAULT_FILE = Path("configs") / "datagen" / "wide.yaml"
CATEGORIES = (
    *("schema", "sql", "objects", "business", "joins", "joins_sql", "negatives", "corrections", "reports", "documents"),
    *("rules", "optimisation", "naming", "workflows", "coverage"),
)
_ROOMS = ("vgpt2.datagen.queries.maker", "vgpt2.datagen.knowledge", "vgpt2.datagen.corrections")


class WideConfig(Part):
    shares: dict[str, NonNegative]
    """questions by category, in any unit; a category without a maker or without material gives its share to none"""
    queries: QuerySettings = QuerySettings()


def load_wide(path: Path) -> WideConfig:
    """The config of a YAML file; raises ConfigError or ValueError naming file and key."""
    config = configfile.load(WideConfig, path)
    unknown = next((name for name in config.shares if name not in CATEGORIES), None)
    if unknown is not None:
        raise ValueError(f"{path}: shares: unknown category '{unknown[:40]}'; allowed are {', '.join(CATEGORIES)}")
    if not sum(config.shares.values()):
        raise ValueError(f"{path}: shares: all are 0; give at least one category a share")
    return config


def makers() -> dict[str, Maker]:
    """Every category that has a maker."""
    found: dict[str, Maker] = {}
    for room in _ROOMS:
        if find_spec(room):
            found |= import_module(room).MAKERS
    return found


def quotas(config: WideConfig, size: int) -> dict[str, int]:
    """Questions of each category; those without a maker are left out, and nobody takes their share."""
    known = makers()
    return {name: count for name, count in apportioned(config.shares, size).items() if name in known and count}


def without_maker(shares: Mapping[str, float]) -> list[str]:
    """Categories that are asked for but that nothing makes, to be told to the user."""
    known = makers()
    return [name for name, share in shares.items() if share and name not in known]


def make_world(names: Names, config: WideConfig, glossary: Glossary | None = None, documents: tuple[Document, ...] = ()) -> World:
    """What the makers draw from: the training side, whatever is known besides the catalogue."""
    return World(names, training_side(names), glossary, documents, config.queries)
