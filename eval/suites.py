"""Suites of questions: found by name or file, read whole, known by hash, with the thresholds of their manifests."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from vgpt2.judging import Item, read_items

FOLDER = Path(__file__).parent / "suites"


@dataclass(frozen=True)
class Suite:
    """A suite file: its name, the sha256 of its bytes, its questions, and the least share of right answers by group."""

    name: str
    sha256: str
    items: tuple[Item, ...]
    thresholds: Mapping[str, float] = field(default_factory=dict)


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
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        suites.append(Suite(path.stem, digest, tuple(read_items(path)), thresholds_of(path)))
    owner: dict[str, str] = {}
    for suite in suites:
        for item in suite.items:
            if item.id in owner:
                raise ValueError(f"--suite {suite.name}: question '{item.id[:60]}' stands in {owner[item.id]} too; give each suite once")
            owner[item.id] = suite.name
    return tuple(suites)


def thresholds_of(path: Path) -> dict[str, float]:
    """`thresholds` of the manifest beside a suite: group -> least share of right answers; none without a manifest or without the key."""
    manifest = path.with_name(path.name + ".manifest.json")
    if not manifest.is_file():
        return {}
    try:
        found = json.loads(manifest.read_text("utf-8")).get("thresholds") or {}
        thresholds = {str(group): float(share) for group, share in found.items()}
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise ValueError(f"{manifest}: 'thresholds' must name a share for each group, such as {{\"sql\": 0.9}}; mend it") from None
    for group, share in thresholds.items():
        if not 0 < share <= 1:
            raise ValueError(f"{manifest}: threshold of '{group[:40]}' is {share:g}; a share above 0 and at most 1 is needed")
    return thresholds


def questions(suites: Sequence[Suite], limit: int | None) -> list[Item]:
    """All questions in order, or `limit` of them drawn evenly by chance, always the same ones."""
    items = [item for suite in suites for item in suite.items]
    if limit is None or limit >= len(items):
        return items
    kept = set(Random("limit").sample(range(len(items)), limit))
    return [item for place, item in enumerate(items) if place in kept]
