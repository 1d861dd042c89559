"""The gate before training: sets read in any layout, held against the rules, the verdict in their manifests."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from vgpt2 import rowfiles
from vgpt2.datagen.audit import balance
from vgpt2.datagen.audit.balance import Balance, Outcome
from vgpt2.datagen.audit.coverage import Covered, coverage
from vgpt2.datagen.audit.examine import Examiner, Rows, examine
from vgpt2.datagen.audit.facts import Failure, Part
from vgpt2.datagen.audit.lengths import Lengths, lengths, token_counter
from vgpt2.datagen.audit.rules import RULES, Context, held_out
from vgpt2.datagen.names.meant import Meant
from vgpt2.datagen.names.real import Names, load_names
from vgpt2.datagen.readers import read_documents, sources_in
from vgpt2.datagen.readers.document import named
from vgpt2.datagen.sets.records import manifest_path, write_manifest
from vgpt2.dropped import Dropped, Mistakes
from vgpt2.preflight import AUDIT_VERSION, sha256_of
from vgpt2.registry import Source, sources
from vgpt2.sql.names import NameIndex
from vgpt2.workers import Crew, in_order

CHUNK = 200  # rows that a worker takes at once
BYTES_PER_WORKER = 4 << 20  # of a file: below, a worker's start costs more than it saves
CREW = Crew("auditing", "once more, or without workers: --workers 0", stall_s=300.0)
NAMES_SHOWN = 40
MEANINGS = 3  # real names that one unreal name may mean, as Co means APCo here and ARCo there


class Progress(Protocol):
    """Makes a bar, such as tqdm's, for some work on `total` bytes or rows."""

    def __call__(self, what: str, total: int) -> AbstractContextManager[Any]: ...


@dataclass(frozen=True)
class Misnamed:
    """A name that is not real, in how many answers it stands, the first of them, and the real names it may mean, likeliest first."""

    name: str
    count: int
    where: str
    nearest: tuple[str, ...]


@dataclass(frozen=True)
class FileAudit:
    path: Path
    sha256: str
    stage: str
    rows: int
    cases: int
    outcomes: dict[str, Outcome]
    dropped: Dropped  # rows that the trainer would leave out
    lengths: Lengths
    balances: tuple[Balance, ...]
    ratios: dict[str, float]  # of right to wrong answers' lengths, by category
    misnamed: tuple[Misnamed, ...]  # the most frequent first
    coverage: tuple[Covered, ...]
    answer_tokens: dict[str, int]  # 'all', 'sql'
    sql: dict[str, int]  # rewarded answers: 'answers', 'with SQL', 'hinted'

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


def audit(
    files: Sequence[str | Path],
    *,
    catalogue: Path,
    suites: Sequence[Path] = (),
    documents: Sequence[Path] = (),
    tokenizer: Path | None = None,
    limit: int = 4096,
    registry: Path | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Audit:
    """`judge`, and each file's manifest made or completed with its verdict."""
    judged = judge(
        files,
        catalogue=catalogue,
        suites=suites,
        documents=documents,
        tokenizer=tokenizer,
        limit=limit,
        registry=registry,
        workers=workers,
        progress=progress,
    )
    for file in judged.files:
        _record(file, judged.catalogue)
    return judged


def judge(
    files: Sequence[str | Path],
    *,
    catalogue: Path,
    suites: Sequence[Path] = (),
    documents: Sequence[Path] = (),
    tokenizer: Path | None = None,
    limit: int = 4096,
    registry: Path | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Audit:
    """The rules' outcomes for each file or name of the registry.

    documents: folders whose procedures and forms are real names too. limit: tokens above which a row counts as over-long.
    workers None: by the size of the file; the outcome does not depend on it.
    Raises ValueError or OSError where a file, suite, catalogue or tokenizer cannot be read at all.
    """
    names = _known_names(catalogue, documents)
    token_counter(tokenizer)  # a wrong folder is said before anything is read
    held = held_out([row for suite in suites for row in suite_rows(suite)]) if suites else None
    context = Context(names, held)
    audited = []
    for source in sources(files, registry):
        examiner = Examiner(source.path, source.layout, context, tokenizer)
        part = examined(examiner, workers=workers, progress=progress)
        audited.append(_judged(source, part, context, limit=limit, is_exact=tokenizer is not None))
    return Audit(tuple(audited), names.catalogue.fingerprint)


def _known_names(catalogue: Path, documents: Sequence[Path]) -> Names:
    names = load_names(catalogue)
    return named(names, [document for folder in documents for document in read_documents(sources_in(folder), names).documents])


def examined(examiner: Examiner, *, workers: int | None, progress: Progress | None) -> Part:
    """All rows of the examiner's file as one part."""
    path, mistakes, whole = examiner.path, Mistakes(), Part()
    size = path.stat().st_size if path.is_file() else 0
    if workers is None:
        workers = min(os.cpu_count() or 1, size // BYTES_PER_WORKER)
        workers = workers if workers > 1 else 0
    parts = in_order(examine, examiner, chunks(path, mistakes), workers=workers, crew=CREW, place=place_in(path))
    with closing(parts), progress(f"audit {path.name}", count_lines(path)) if progress else nullcontext() as bar:
        for part in parts:
            whole.add(part)
            if bar is not None:
                bar.update(part.rows)
    whole.mistakes = [*mistakes.said, *whole.mistakes]
    if not whole.cases and not whole.mistakes:
        raise ValueError(f"{path}: holds no row that can be learned from; an empty set cannot be audited")
    return whole


def chunks(path: Path, mistakes: Mistakes) -> Iterator[Rows]:
    """The rows of a file, some at a time."""
    rows: list[tuple[int, dict[str, Any]]] = []
    for numbered in rowfiles.rows(path, mistakes):
        rows.append(numbered)
        if len(rows) == CHUNK:
            yield rows
            rows = []
    if rows:
        yield rows


def _judged(source: Source, part: Part, context: Context, *, limit: int, is_exact: bool) -> FileAudit:
    dropped = Dropped()
    for reason, where in part.dropped:
        dropped.add(reason, where)
    stages = sorted({case.stage for case in part.cases})
    unreadable = [Failure("", mistake) for mistake in part.mistakes]
    if len(stages) > 1:
        unreadable.append(Failure("", f"{source.path}: holds {' and '.join(stages)} rows; one file, one stage"))
    outcomes = {"readable rows": Outcome(part.rows, tuple(unreadable))}
    outcomes |= {rule: Outcome(part.checked[rule], tuple(part.failures.get(rule, ()))) for rule in RULES}
    if context.held is not None:
        outcomes["leaks from suites"] = _with_note(outcomes["leaks from suites"], f"{len(context.held.names)} held-out names")
    outcomes |= {rule: judge(part.cases) for rule, judge in balance.RULES.items()}
    return FileAudit(
        source.path,
        sha256_of(source.path),
        "/".join(stages),
        part.rows,
        len(part.cases),
        outcomes,
        dropped,
        lengths(part.tokens, limit=limit, is_exact=is_exact),
        tuple(balance.balances(part.cases)),
        balance.length_ratios(part.cases),
        tuple(_misnamed(part, context.names)),
        tuple(coverage(part.objects, part.columns, context.names.catalogue)),
        dict(part.answer_tokens),
        dict(part.sql),
    )


def _with_note(outcome: Outcome, note: str) -> Outcome:
    return Outcome(outcome.checked, outcome.failures, note)


def _misnamed(part: Part, names: Names) -> list[Misnamed]:
    """Every unreal name of the rewarded answers, counted; what it may mean: the commonest suggestions, the column of another object,
    else what its words describe, else the nearest name of all."""
    first: dict[str, str] = {}
    suggested: dict[str, Counter[str]] = {}
    counts: Counter[str] = Counter()
    for failure in part.failures.get("unreal names in rewarded answers", ()):
        for unreal in failure.names:
            counts[unreal.name] += 1
            first.setdefault(unreal.name, failure.where)
            if unreal.nearest:
                suggested.setdefault(unreal.name, Counter())[unreal.nearest] += 1
    objects = list(names.catalogue.objects.values())
    meant = Meant(objects, lambda o: o.description)
    index = NameIndex((*names.catalogue.objects, *names.columns)) if counts else None
    found = []
    for name, count in counts.most_common(NAMES_SHOWN):
        best = [near for near, _ in suggested.get(name, Counter()).most_common(MEANINGS - 1)]
        best += [f"{o.name}.{name}" for o in objects if o.has(name)][:1]
        best = best or _by_words(name, meant, names)
        if not best and index is not None:
            best = index.nearest(name.rpartition(".")[2], 1, prefix=2)
        found.append(Misnamed(name, count, first[name], tuple(best)))
    return found


def _by_words(name: str, meant: Meant, names: Names) -> list[str]:
    """The objects whose descriptions hold the name's words; of a column written with its object, that object's column."""
    table, _, column = name.rpartition(".")
    if not names.catalogue.has(table):
        return [o.name for o in meant.by_words(name)]
    near = meant.column(table, column)
    return [f"{table}.{near.name}"] if near else []


def suite_rows(path: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if any("messages" not in row or "expect" not in row for row in rows):
        raise ValueError(f"{path}: holds rows without messages or expect; --suite names a suite made by the suite command")
    return rows


def place_in(path: Path) -> Callable[[Rows], str]:
    """How a message says where some rows stand."""
    return lambda rows: f"{path}:{rows[0][0]} to {rows[-1][0]}"


def count_lines(path: Path) -> int:
    """Line breaks of a file: about its rows, for a bar."""
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


def _record(file: FileAudit, fingerprint: str) -> None:
    """The verdict into the manifest beside the file, under the hash of the bytes that were read."""
    path = manifest_path(file.path)
    manifest = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"stage": file.stage, "rows": file.rows}
    rules = {name: {"checked": o.checked, "failed": len(o.failures)} for name, o in file.outcomes.items()}
    verdict = {"passed": file.passed, "sha256": file.sha256, "version": AUDIT_VERSION, "catalogue": fingerprint, "rules": rules}
    write_manifest(file.path, {**manifest, "audit": verdict})
