"""Suites of questions: found by name or file, read whole, known by hash."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from vgpt2.judging import Item, read_items

FOLDER = Path(__file__).parent / "suites"


@dataclass(frozen=True)
class Suite:
    """A suite file: its name, the sha256 of its bytes, its questions."""

    name: str
    sha256: str
    items: tuple[Item, ...]


def find(name: str) -> Path:
    """The file that `--suite NAME` means: a path, or a name in eval/suites. Raises ValueError with what there is."""
    for path in (Path(name), FOLDER / f"{name}.jsonl"):
        if path.is_file():
            return path
    known = ", ".join(sorted(path.stem for path in FOLDER.glob("*.jsonl"))) or "none yet"
    raise ValueError(f"--suite {name[:80]}: no such file, and no suite of that name in eval/suites ({known})")


def load(names: Sequence[str]) -> tuple[Suite, ...]:
    """The named suites; raises ValueError where two of them share a question's id."""
    suites = []
    for path in map(find, names):
        suites.append(Suite(path.stem, hashlib.sha256(path.read_bytes()).hexdigest(), tuple(read_items(path))))
    owner: dict[str, str] = {}
    for suite in suites:
        for item in suite.items:
            if item.id in owner:
                raise ValueError(f"--suite {suite.name}: question '{item.id[:60]}' stands in {owner[item.id]} too; give each suite once")
            owner[item.id] = suite.name
    return tuple(suites)


def questions(suites: Sequence[Suite], limit: int | None) -> list[Item]:
    """All questions in order, or `limit` of them drawn evenly by chance, always the same ones."""
    items = [item for suite in suites for item in suite.items]
    if limit is None or limit >= len(items):
        return items
    kept = set(Random("limit").sample(range(len(items)), limit))
    return [item for place, item in enumerate(items) if place in kept]
