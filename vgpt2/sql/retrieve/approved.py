"""Past questions whose answer somebody approved, with the objects it used: one JSON object a line, {"question": ..., "objects": [...]}."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


class ApprovedError(ValueError):
    """A file of approved questions with a mistake: the message names file and line."""


@dataclass(frozen=True)
class Approved:
    question: str
    objects: tuple[str, ...]


def load_approved(path: str | Path) -> tuple[Approved, ...]:
    """The questions of a JSON-lines file, in its order; other fields of a row are left alone. Raises ApprovedError with file and line."""
    path = Path(path)
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip():
            rows.append(_row(line, f"{path}:{number}"))
    return tuple(rows)


def _row(line: str, place: str) -> Approved:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise ApprovedError(f"{place}: not JSON: {error.msg}; a row is one JSON object on one line") from None
    question = row.get("question") if isinstance(row, dict) else None
    objects = row.get("objects") if isinstance(row, dict) else None
    if not isinstance(question, str) or not isinstance(objects, list) or not all(isinstance(name, str) for name in objects):
        raise ApprovedError(f"{place}: a row needs 'question' (a text) and 'objects' (a list of names)")
    return Approved(question, tuple(objects))
