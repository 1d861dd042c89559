"""Preference rows from what a model answered: the command `mine`, from files of answers and questions to DPO and KTO sets.

Questions of a suite are held out: rows made from them carry a note that the suite judges no model trained on them.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from vgpt2.datagen.audit.rules import Context
from vgpt2.datagen.language.answers import fenced
from vgpt2.datagen.mining.answered import Answered, read
from vgpt2.datagen.mining.labels import Labelled, labelled
from vgpt2.datagen.mining.matching import Matched, Pair, matched
from vgpt2.datagen.mistakes import preferences
from vgpt2.datagen.names.real import Names
from vgpt2.datagen.names.statements import findings
from vgpt2.datagen.sets import records
from vgpt2.dropped import Dropped
from vgpt2.judging import Item, read_items

SOURCE = "answers"


@dataclass(frozen=True)
class Asked:
    """A file of questions, and whether it is a suite."""

    path: Path
    is_suite: bool
    items: tuple[Item, ...]

    @property
    def manifest(self) -> dict[str, Any]:
        about = {"file": self.path.name, "sha256": hashlib.sha256(self.path.read_bytes()).hexdigest(), "held_out": self.is_suite}
        if self.is_suite:
            about["leak"] = f"made from the suite {self.path.stem}, which therefore judges no model trained on these rows"
        return about


@dataclass(frozen=True)
class Mined:
    labels: Counter[tuple[str, bool | None]]  # (category, label)
    matched: Matched
    dropped: Dropped


def questions(path: Path, *, is_suite: bool) -> Asked:
    """The questions of a file. One whose manifest calls it a suite is one, whatever it is given as."""
    items = tuple(read_items(path))
    manifest = records.manifest_path(path)
    if manifest.is_file():
        is_suite = is_suite or json.loads(manifest.read_text(encoding="utf-8")).get("stage") == "suite"
    return Asked(path, is_suite, items)


def mine(
    answers: Sequence[Path],
    asked: Sequence[Asked],
    names: Names,
    *,
    per_question: int,
    with_gold: bool,
    progress: Callable[[Sequence[Answered]], Iterable[Answered]],
) -> Mined:
    """Answers labelled and matched. with_gold: a suite's own SQL is the right side where the model has none."""
    items = {item.id: item for questions in asked for item in questions.items}
    dropped, context = Dropped(), Context(names)
    given = [answered for path in answers for answered in read(path, items, dropped)]
    said = [labelled(answered, context) for answered in progress(given)]
    gold = _gold(items.values(), names) if with_gold else {}
    labels = Counter((a.answered.category, a.label) for a in said)
    return Mined(labels, matched(said, gold, per_question=per_question, dropped=dropped), dropped)


def practice_rows(pairs: Sequence[preferences.Pair]) -> list[dict[str, Any]]:
    """The questions of preference pairs in the layout of a suite, for a model to answer; nothing in them is held out."""
    rows = []
    for number, pair in enumerate(pairs):
        q = pair.question
        about = {"id": f"practice-{number:05d}", "kind": "sql" if q.query else "exists", "group": pair.category, "template": q.template}
        rows.append({**about, "objects": list(q.objects), "messages": [{"role": "user", "content": q.prompt}], "expect": q.expect})
    return rows


def dpo_rows(pairs: Sequence[Pair], *, seed: int) -> list[dict[str, Any]]:
    rows = []
    for pair in pairs:
        answers = {"chosen": pair.chosen, "rejected": pair.rejected}
        rows.append({**_about(pair.asked), "defect": pair.defect, "prompt": list(pair.asked.messages), **answers})
    return _numbered("dpo", rows, seed)


def kto_rows(singles: Sequence[Labelled], *, seed: int) -> list[dict[str, Any]]:
    rows = []
    for single in singles:
        answer = {"prompt": list(single.answered.messages), "completion": single.answered.answer, "label": single.label}
        rows.append({**_about(single.answered), "defect": single.reason or None, **answer})
    return _numbered("kto", rows, seed)


def table(mined: Mined) -> str:
    """How the answers were labelled, what became of them, and what was left out and why."""
    pairs = Counter(pair.asked.category for pair in mined.matched.pairs)
    singles = Counter(single.answered.category for single in mined.matched.singles)
    lines = [f"{'category':<20}{'right':>8}{'wrong':>8}{'unclear':>9}{'pairs':>8}{'KTO rows':>10}"]
    for category in sorted({category for category, _ in mined.labels}):
        counts = [mined.labels[category, label] for label in (True, False, None)]
        lines.append(f"{category[:19]:<20}{counts[0]:>8}{counts[1]:>8}{counts[2]:>9}{pairs[category]:>8}{singles[category]:>10}")
    return "\n".join(lines) + f"\n{str(mined.dropped).replace('dropped rows', 'left out    ', 1)}"


def _gold(items: Iterable[Item], names: Names) -> dict[str, str]:
    """Gold SQL by question, fenced; none that the checker objects to."""
    found = {item.id: fenced(str(item.expect["sql"])) for item in items if item.kind == "sql" and item.expect.get("sql")}
    return {name: answer for name, answer in found.items() if not findings(answer, names)}


def _about(asked: Answered) -> dict[str, Any]:
    return {"category": asked.category, "source": SOURCE, "question": asked.item.id if asked.item else None, "from": Path(asked.where).name}


def _numbered(stage: str, rows: list[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    Random(f"{seed}/mine/{stage}").shuffle(rows)
    return [{"id": f"mined-{stage}-{number:05d}", **row} for number, row in enumerate(rows)]
