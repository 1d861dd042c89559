"""The gate before training: reads sets in any layout, applies the rules, and writes the verdict into each file's manifest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any

from vgpt2.datagen.cases import Case, read_cases
from vgpt2.datagen.names import Names, load_names
from vgpt2.datagen.records import manifest_path, write_manifest
from vgpt2.datagen.rules import RULES, Context, Outcome
from vgpt2.sql.extract import sql_blocks

AUDIT_VERSION = 1
_WORDS = 4.0  # characters a token of mixed prose and SQL, where no tokenizer is given


@dataclass(frozen=True)
class FileAudit:
    path: Path
    sha256: str
    stage: str
    rows: int
    outcomes: dict[str, Outcome]
    figures: dict[str, str]

    @property
    def passed(self) -> bool:
        return not any(outcome.failures for outcome in self.outcomes.values())


@dataclass(frozen=True)
class Audit:
    files: tuple[FileAudit, ...]
    catalogue: str

    @property
    def passed(self) -> bool:
        return all(file.passed for file in self.files)


def audit(paths: Sequence[Path], *, catalogue: Path, suites: Sequence[Path], tokenizer: Path | None) -> Audit:
    """The rules' outcomes for each file; each file's manifest is made or completed with its own.

    Raises ValueError or OSError where a file, suite, catalogue or tokenizer cannot be read at all.
    """
    names = load_names(catalogue)
    context = Context(names, tuple(row for suite in suites for row in _suite_rows(suite)))
    count = token_counter(tokenizer)
    files = tuple(_audit_file(path, context, count, exact=tokenizer is not None) for path in paths)
    for file in files:
        _record(file, names.catalogue.fingerprint)
    return Audit(files, names.catalogue.fingerprint)


def token_counter(tokenizer: Path | None) -> Callable[[str], int]:
    """Tokens of a text by the folder's tokenizer.json; an estimate of four characters a token where there is none."""
    if tokenizer is None:
        return lambda text: round(len(text) / _WORDS)
    from tokenizers import Tokenizer

    file = tokenizer / "tokenizer.json"
    if not file.is_file():
        raise ValueError(f"{file}: no such file; --tokenizer names a folder that holds tokenizer.json")
    loaded = Tokenizer.from_file(str(file))
    return lambda text: len(loaded.encode(text, add_special_tokens=False).ids)


def _audit_file(path: Path, context: Context, count: Callable[[str], int], *, exact: bool) -> FileAudit:
    read = read_cases(path)
    cases = read.cases
    if not cases and not read.mistakes:
        raise ValueError(f"{path}: holds no row that can be learned from; an empty set cannot be audited")
    stages = sorted({case.stage for case in cases})
    mixed = (f"{path}: holds {' and '.join(stages)} rows; one file, one stage",) if len(stages) > 1 else ()
    note = ", ".join(f"{n} dropped: {reason}" for reason, n in read.dropped.counts.items())
    outcomes = {"readable rows": Outcome(read.rows, (*read.mistakes, *mixed), note=note)}
    outcomes |= {name: rule(cases, context) for name, rule in RULES.items()}
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return FileAudit(path, sha256, "/".join(stages), read.rows, outcomes, _figures(cases, context.names, count, exact))


def _figures(cases: Sequence[Case], names: Names, count: Callable[[str], int], exact: bool) -> dict[str, str]:
    """Facts that no rule judges: token lengths, share of SQL, how much of the catalogue occurs."""
    rows: dict[str, int] = {}  # the last answer of a chat has all that was said before it
    for case in cases:
        rows[case.where] = rows.get(case.where, 0) + sum(count(answer) for answer in case.answers)
    asked = {case.where: len(case.answers) * count(case.prompt) if case.stage != "sft" else count(case.prompt) for case in cases}
    lengths = [tokens + asked[where] for where, tokens in rows.items()]
    answers = [answer for case in cases for answer in case.answers]
    with_sql = sum(bool(sql_blocks(answer)) for answer in answers)
    text = "\n".join(text for case in cases for text in (case.prompt, *case.answers))
    words = set(_words(text))
    used = sum(name in words for name in names.catalogue.objects)
    figures = {"objects": f"{used} of {len(names.catalogue)} occur", "answers with SQL": f"{with_sql} of {len(answers)}"}
    if len(lengths) > 1:
        cuts = quantiles(lengths, n=20)
        spread = f"in {len(lengths):,} rows without chat template: median {cuts[9]:.0f}, 95 % {cuts[18]:.0f}, longest {max(lengths)}"
        figures["tokens" if exact else "tokens, estimated"] = f"{sum(lengths):,} {spread}"
    return figures


def _words(text: str) -> list[str]:
    return "".join(c if c.isalnum() or c == "_" else " " for c in text).split()


def _suite_rows(path: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if any("messages" not in row or "expect" not in row for row in rows):
        raise ValueError(f"{path}: holds rows without messages or expect; --suite names a suite made by the suite command")
    return rows


def _record(file: FileAudit, fingerprint: str) -> None:
    """The verdict into the manifest beside the file, under the hash of the bytes that were read."""
    path = manifest_path(file.path)
    manifest = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"stage": file.stage, "rows": file.rows}
    rules = {name: {"checked": o.checked, "failed": len(o.failures)} for name, o in file.outcomes.items()}
    verdict = {"passed": file.passed, "sha256": file.sha256, "version": AUDIT_VERSION, "catalogue": fingerprint, "rules": rules}
    write_manifest(file.path, {**manifest, "audit": verdict})
