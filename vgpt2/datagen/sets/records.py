"""Questions as rows of files: the SFT, DPO, KTO and suite layouts, written whole or not at all, each with a manifest beside it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from vgpt2 import atomic
from vgpt2.datagen.mistakes.labels import labels
from vgpt2.datagen.questions.question import Chat, Question
from vgpt2.datagen.questions.recipes import ROOM_OF

if TYPE_CHECKING:
    from vgpt2.datagen.mistakes.preferences import Pair

SUITE_GROUPS = {kind: "columns" if kind.endswith("_column") else "sql_schema" if kind.startswith("sql_") else kind for kind in ROOM_OF}
Row = dict[str, Any]


def sft_rows(chats: Sequence[Chat]) -> list[Row]:
    """Chat rows, every answer supervised, without a system message: the training config holds the one system prompt.

    The context stands in the first question only; `template` lists one id an answer.
    """
    rows = []
    for index, chat in enumerate(chats):
        messages = []
        for turn, q in enumerate(chat):
            messages += [{"role": "user", "content": q.ask if turn else q.prompt}, {"role": "assistant", "content": q.answer}]
        objects = list(dict.fromkeys(name for q in chat for name in q.objects))
        about = {"id": f"sft-{index:05d}", "category": _category(chat[0]), "source": chat[0].source, "template": [q.template for q in chat]}
        rows.append({**about, "objects": objects, "messages": messages})
    return rows


def dpo_rows(pairs: Sequence[Pair], *, seed: int) -> list[Row]:
    """Pairs whose rejected answer has one named defect, in a seeded order."""
    rows: list[Row] = []
    for pair in pairs:
        answers = {"chosen": pair.question.answer, "rejected": pair.wrong}
        rows.append({**_about("dpo", len(rows), pair), "fault": pair.fault, "prompt": [_user(pair.question)], **answers})
    Random(f"{seed}/dpo/order").shuffle(rows)
    return rows


def kto_rows(pairs: Sequence[Pair], *, seed: int) -> list[Row]:
    """One answer a question, right and wrong ones as `labels` gives them out."""
    rows: list[Row] = []
    for pair, right in zip(pairs, labels(pairs)):
        q = pair.question
        answer = {"prompt": [_user(q)], "completion": q.answer if right else pair.wrong, "label": right}
        rows.append({**_about("kto", len(rows), pair), "fault": None if right else pair.fault, **answer})
    Random(f"{seed}/kto/order").shuffle(rows)
    return rows


def suite_rows(questions: Sequence[Question]) -> list[Row]:
    """Questions with what a right answer must hold; `kind` names how it is scored: sql, exists or column."""
    rows = []
    for index, q in enumerate(questions):
        scored = "sql" if q.query else "exists" if q.subject else "column"
        about = {"id": f"{q.kind}-{index:03d}", "group": SUITE_GROUPS[q.kind], "kind": scored}
        rows.append({**about, "template": q.template, "objects": list(q.objects), "messages": [_user(q)], "expect": q.expect})
    return rows


def write(path: Path, rows: Iterable[Row], manifest: Row) -> int:
    """The rows as JSON lines, and a manifest that names them by hash; how many rows there were.

    An old manifest goes first, so that it never vouches for other rows.
    """
    manifest_path(path).unlink(missing_ok=True)
    hashed = hashlib.sha256()
    categories, sources, templates = Counter[str](), Counter[str](), Counter[str]()
    with atomic.writing(path) as file:
        for row in rows:
            line = (json.dumps(row, ensure_ascii=False) + "\n").encode()
            hashed.update(line)
            file.write(line)
            categories[str(row.get("category") or row.get("group"))] += 1
            sources[str(row.get("source") or "")] += 1
            templates.update(_each(row.get("template")))
    counts = {name: _counted(c) for name, c in (("by_category", categories), ("by_source", sources), ("by_template", templates))}
    about = {"sha256": hashed.hexdigest(), "rows": categories.total(), "questions": templates.total()}
    write_manifest(path, {**manifest, **about, **counts, "audit": None})
    return categories.total()


def manifest_path(path: Path) -> Path:
    return path.with_name(path.name + ".manifest.json")


def write_manifest(path: Path, manifest: Row) -> None:
    atomic.write_text(manifest_path(path), json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")


def _about(stage: str, index: int, pair: Pair) -> Row:
    q = pair.question
    return {"id": f"{stage}-{index:05d}", "category": pair.category, "source": q.source, "template": q.template, "objects": list(q.objects)}


def _category(q: Question) -> str:
    return q.category or ROOM_OF[q.kind]


def _user(q: Question) -> dict[str, str]:
    return {"role": "user", "content": q.prompt}


def _each(templates: str | list[str] | None) -> list[str]:
    return [templates] if isinstance(templates, str) else list(templates or ())


def _counted(values: Counter[str]) -> dict[str, int]:
    return {name: values[name] for name in sorted(values) if name}
