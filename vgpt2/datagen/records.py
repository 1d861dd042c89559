"""Questions as rows of files: the SFT, DPO, KTO and suite layouts, written whole or not at all, each with a manifest beside it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Any

from vgpt2 import atomic
from vgpt2.datagen.answers import fenced
from vgpt2.datagen.faults import FAULTS, sql_of, wrong_verdict
from vgpt2.datagen.questions import Chat, Question
from vgpt2.datagen.recipes import ROOM_OF
from vgpt2.datagen.sides import Side

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


def dpo_rows(groups: Sequence[tuple[str, Sequence[Question]]], side: Side, *, seed: int) -> list[Row]:
    """Pairs whose rejected answer has one named defect, in a seeded order."""
    rows: list[Row] = []
    for q, fault, wrong in _with_wrong_answers(groups, side, f"{seed}/dpo"):
        rows.append({**_about("dpo", len(rows), q), "fault": fault, "prompt": [_user(q)], "chosen": q.answer, "rejected": wrong})
    Random(f"{seed}/dpo/order").shuffle(rows)
    return rows


def kto_rows(groups: Sequence[tuple[str, Sequence[Question]]], side: Side, *, seed: int) -> list[Row]:
    """One answer a question, right and wrong ones by turns; two and two about existence, where real and unreal names take turns."""
    rows: list[Row] = []
    turns: Counter[str] = Counter()
    for q, fault, wrong in _with_wrong_answers(groups, side, f"{seed}/kto"):
        group = "sql" if q.query else q.kind
        right = turns[group] % 2 == 0 if q.query else turns[group] % 4 < 2
        turns[group] += 1
        answer = {"prompt": [_user(q)], "completion": q.answer if right else wrong, "label": right}
        rows.append({**_about("kto", len(rows), q), "fault": None if right else fault, **answer})
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


def _with_wrong_answers(groups: Sequence[tuple[str, Sequence[Question]]], side: Side, purpose: str) -> list[tuple[Question, str, str]]:
    """(question, fault, wrong answer); a question whose query offers no place for the fault is left out."""
    found = []
    for defect, questions in groups:
        for index, q in enumerate(questions):
            if q.query is None:
                found.append((q, *wrong_verdict(q)))
                continue
            broken = FAULTS[defect].apply(q.query, side, Random(f"{purpose}/{defect}/{q.kind}/{index}"))
            if broken is not None:
                found.append((q, defect, fenced(sql_of(broken))))
    return found


def _about(stage: str, index: int, q: Question) -> Row:
    return {"id": f"{stage}-{index:05d}", "category": _category(q), "source": q.source, "template": q.template, "objects": list(q.objects)}


def _category(q: Question) -> str:
    return q.category or ROOM_OF[q.kind]


def _user(q: Question) -> dict[str, str]:
    return {"role": "user", "content": q.prompt}


def _each(templates: str | list[str] | None) -> list[str]:
    return [templates] if isinstance(templates, str) else list(templates or ())


def _counted(values: Counter[str]) -> dict[str, int]:
    return {name: values[name] for name in sorted(values) if name}
