"""A cleaned copy of a foreign set: certain repairs made, rows that still misname things left out and counted."""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vgpt2 import atomic
from vgpt2.datagen.audit.cases import cases_of, stage_of
from vgpt2.datagen.audit.examine import Examiner, Rows, failures, read
from vgpt2.datagen.audit.gate import BYTES_PER_WORKER, Progress, chunks, count_lines, place_in
from vgpt2.datagen.audit.rules import NAME_RULES, Context
from vgpt2.datagen.names.repair import Repair, repaired
from vgpt2.dropped import Dropped, Mistakes
from vgpt2.layouts import LABELS, FieldError, Layout, Unusable
from vgpt2.sql.catalogue import Catalogue
from vgpt2.sql.extract import sql_blocks
from vgpt2.workers import Crew, in_order

CREW = Crew("cleaning", "once more, or without workers: --workers 0", stall_s=300.0)
_REWARDED = {"sft": ("output", "messages"), "dpo": ("chosen",), "kto": ("output", "messages")}


@dataclass
class Fixed:
    """What was done to a file: rows kept, repairs and dropped rows, each with counts and first places."""

    rows: int = 0
    kept: int = 0
    repairs: Dropped = field(default_factory=Dropped)
    dropped: Dropped = field(default_factory=Dropped)
    sha256: str = ""


@dataclass(frozen=True)
class Cleaned:
    """One row after repair; `reason` says why it is left out."""

    where: str
    row: Mapping[str, Any]
    repairs: tuple[Repair, ...] = ()
    reason: str | None = None
    digest: bytes = b""  # of what the row teaches, to find it again


def fix(examiner: Examiner, out: Path, *, workers: int | None = None, progress: Progress | None = None) -> Fixed:
    """Writes the cleaned rows of the examiner's file to `out`, in their own layout, JSON lines or one array by its ending.

    Raises ValueError or OSError where the file cannot be read or no row is left.
    """
    path, mistakes, result, seen = examiner.path, Mistakes(), Fixed(), set[bytes]()
    if workers is None:
        workers = min(os.cpu_count() or 1, path.stat().st_size // BYTES_PER_WORKER)
        workers = workers if workers > 1 else 0
    is_array = out.suffix.lower() == ".json"
    hashed = hashlib.sha256()
    parts = in_order(clean, examiner, chunks(path, mistakes), workers=workers, crew=CREW, place=place_in(path))
    bar = progress(f"clean {path.name}", count_lines(path)) if progress else nullcontext()
    with closing(parts), bar as shown, atomic.writing(out) as file:
        for part in parts:
            for cleaned in part:
                if not _is_kept(cleaned, result, seen):
                    continue
                text = json.dumps(cleaned.row, ensure_ascii=False)
                line = ("[\n" if result.kept == 1 else ",\n") + text if is_array else text + "\n"
                data = line.encode("utf-8", "backslashreplace")  # half a surrogate pair stays the escape that it was
                hashed.update(data)
                file.write(data)
            if shown is not None:
                shown.update(len(part))
        if not result.kept:
            raise ValueError(f"{path}: none of its {result.rows:,} rows can be kept; see what is wrong with them: audit {path}")
        if is_array:
            file.write(b"\n]\n")
            hashed.update(b"\n]\n")
    for mistake in mistakes.said:
        result.dropped.add("unreadable", mistake.partition(": ")[0])
    result.sha256 = hashed.hexdigest()
    return result


def clean(examiner: Examiner, rows: Rows) -> list[Cleaned]:
    """Each row repaired and judged."""
    return [_cleaned(row, f"{examiner.path}:{line}", examiner.layout, examiner.context) for line, row in rows]


def _is_kept(cleaned: Cleaned, result: Fixed, seen: set[bytes]) -> bool:
    result.rows += 1
    reason = cleaned.reason or ("duplicate" if cleaned.digest in seen else None)
    if reason:
        result.dropped.add(reason, cleaned.where)
        return False
    seen.add(cleaned.digest)
    result.kept += 1
    for repair in cleaned.repairs:
        result.repairs.add(f"{repair.kind}: {repair.old} -> {repair.new}", cleaned.where)
    return True


def _cleaned(original: Mapping[str, Any], where: str, layout: Layout, context: Context) -> Cleaned:
    row = copy.deepcopy(dict(original))
    repairs = _labelled(row, layout)
    try:
        if stage_of(row, layout) != "kto" or not any(row.get(name) is False for name in layout.columns["label"]):
            repairs += _mend_answers(row, layout, context.names.catalogue)
        cases = cases_of(row, layout, where)
    except FieldError as error:
        return Cleaned(where, row, reason=f"unreadable: {error.field} {error}"[:120])
    except Unusable as unusable:
        return Cleaned(where, row, reason=str(unusable))
    for case in cases:
        for rule, found in failures(read(case, context), context, NAME_RULES):
            if found:
                return Cleaned(where, row, reason=rule)
    said = json.dumps([(case.prompt, case.good, case.bad) for case in cases])
    return Cleaned(where, row, tuple(repairs), digest=hashlib.blake2b(said.encode(), digest_size=16).digest())


def _labelled(row: dict[str, Any], layout: Layout) -> list[Repair]:
    """Labels as true or false, whatever they were written as."""
    repairs = []
    for name in layout.columns["label"]:
        value = row.get(name)
        known = None if isinstance(value, bool) or value is None else LABELS.get(str(value).strip().lower())
        if known is not None:
            row[name] = known
            repairs.append(Repair("label", json.dumps(value), json.dumps(known)))
    return repairs


def _mend_answers(row: dict[str, Any], layout: Layout, catalogue: Catalogue) -> list[Repair]:
    """Repairs the SQL of the answers that the row rewards, in place."""
    made: list[Repair] = []

    def mend(answer: str) -> str:
        for sql in sql_blocks(answer):
            better, repairs = repaired(sql, catalogue)
            if repairs and answer.count(sql) == 1:  # a block that is not in the text as it was read stays as it is
                answer = answer.replace(sql, better)
                made.extend(repairs)
        return answer

    for usual in _REWARDED[stage_of(row, layout)]:
        for name in layout.columns[usual]:
            if row.get(name) is not None:
                row[name] = _rewritten(row[name], layout, mend)
    return made


def _rewritten(value: Any, layout: Layout, mend: Callable[[str], str]) -> Any:
    """A text, or the assistant's texts of one message or of several, mended."""
    if isinstance(value, str):
        return mend(value)
    for turn in value if isinstance(value, Sequence) else [value]:
        if isinstance(turn, dict):
            role = next((turn[tag] for tag in layout.role_tags if turn.get(tag) is not None), None)
            if layout.roles.get(str(role).lower()) == "assistant":
                for tag in layout.content_tags:
                    if isinstance(turn.get(tag), str):
                        turn[tag] = mend(turn[tag])
    return value
