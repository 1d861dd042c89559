"""What a mix of sets comes to: how much each gives to the training rows after caps, weights and duplicates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vgpt2 import dataset
from vgpt2.dropped import Dropped
from vgpt2.layouts import Kind, Record
from vgpt2.preflight import audit_mistake
from vgpt2.registry import sources


@dataclass(frozen=True)
class Portion:
    """One set's part of a mix; `audit` is why the trainer would refuse it, empty where it would not."""

    name: str
    rows: int
    characters: int
    weight: float
    cap: int | None
    audit: str


def mix(
    names: Sequence[str],
    *,
    kind: Kind,
    registry: Path | None,
    weights: Mapping[str, float] = {},
    caps: Mapping[str, int] = {},
    seed: int = 0,
) -> tuple[list[Portion], Dropped]:
    """The portion of every set, in order, by the very rows that the trainer would read, and what it leaves out."""
    records, dropped = dataset.read(names, kind=kind, registry=registry, weights=weights, caps=caps, seed=seed)
    rows, characters = Counter[str](), Counter[str]()
    for record in records:
        path = record.where.rpartition(":")[0]
        rows[path] += 1
        characters[path] += _characters(record)
    found = sources(names, registry, weights=weights, caps=caps)
    return [
        Portion(s.name, rows[str(s.path)], characters[str(s.path)], s.weight, s.cap, audit_mistake(s.path) or "") for s in found
    ], dropped


def table(portions: Sequence[Portion]) -> str:
    """Rows and characters of each set, with their shares of the mix."""
    width = max(map(len, (p.name for p in portions)), default=4) + 2
    lines = [f"{'set':{width}}{'cap':>9}{'weight':>8}{'rows':>10}{'':>8}{'characters':>14}{'':>8}  audit"]
    rows, characters = (max(1, sum(counts)) for counts in ([p.rows for p in portions], [p.characters for p in portions]))
    for p in portions:
        cap = "-" if p.cap is None else f"{p.cap:,}"
        shares = f"{p.rows:10,}{p.rows / rows:8.1%}{p.characters:14,}{p.characters / characters:8.1%}"
        lines.append(f"{p.name:{width}}{cap:>9}{p.weight:8g}{shares}  {'passed' if not p.audit else 'not passed'}")
    return "\n".join(lines)


def _characters(record: Record) -> int:
    texts = [turn["content"] for turn in record.prompt] + [record.completion, record.chosen, record.rejected]
    return sum(len(text) for text in texts if text)
