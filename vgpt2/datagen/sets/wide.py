"""The wide recipe: which categories of questions a training set holds, their shares, and their makers.

config = load_wide(Path("configs/datagen/wide.yaml"))
makers()["sql"](make_world(names, config), 200, "1/sql/0")
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vgpt2 import configfile
from vgpt2.config import NonNegative, Part
from vgpt2.datagen import knowledge
from vgpt2.datagen.mistakes import corrections
from vgpt2.datagen.names.real import Names
from vgpt2.datagen.queries import maker
from vgpt2.datagen.queries.settings import QuerySettings
from vgpt2.datagen.questions.recipes import apportioned, training_side
from vgpt2.datagen.questions.world import Maker, World

if TYPE_CHECKING:
    from vgpt2.datagen.readers import Document
    from vgpt2.sql.glossary import Glossary

DEFAULT_FILE = Path("configs") / "datagen" / "wide.yaml"


class WideConfig(Part):
    shares: dict[str, NonNegative]
    """questions by category, in any unit; a category without material gives its share to none"""
    queries: QuerySettings = QuerySettings()


def load_wide(path: Path) -> WideConfig:
    """The config of a YAML file; raises ConfigError or ValueError naming file and key."""
    config = configfile.load(WideConfig, path)
    known = makers()
    unknown = next((name for name in config.shares if name not in known), None)
    if unknown is not None:
        raise ValueError(f"{path}: shares: unknown category '{unknown[:40]}'; allowed are {', '.join(known)}")
    if not sum(config.shares.values()):
        raise ValueError(f"{path}: shares: all are 0; give at least one category a share")
    return config


def makers() -> dict[str, Maker]:
    """Every category's maker."""
    return {**maker.MAKERS, **knowledge.MAKERS, **corrections.MAKERS}


def quotas(config: WideConfig, size: int) -> dict[str, int]:
    """Questions of each category that gets any."""
    return {name: count for name, count in apportioned(config.shares, size).items() if count}


def make_world(names: Names, config: WideConfig, glossary: Glossary | None = None, documents: tuple[Document, ...] = ()) -> World:
    """What the makers draw from: the training side, whatever is known besides the catalogue."""
    return World(names, training_side(names), glossary, documents, config.queries)
