"""Rows to facts: every text of a part of a file is read here, once, in whatever process has time for it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vgpt2.datagen.audit.cases import Case, cases_of
from vgpt2.datagen.audit.coverage import uses
from vgpt2.datagen.audit.facts import Facts, Failure, Part
from vgpt2.datagen.audit.lengths import Counter as TokenCounter
from vgpt2.datagen.audit.lengths import token_counter
from vgpt2.datagen.audit.rules import RULES, Context, Read
from vgpt2.datagen.language.similarity import normalised, shingles
from vgpt2.layouts import FieldError, Layout, Unusable

ENDING = 400  # characters of a question by which near duplicates are told: what is asked stands at its end, a schema above it
EXCERPT = 700  # characters of a failed answer that are kept
EXCERPTS = 20  # failed answers that are kept, of a rule and a part

Rows = Sequence[tuple[int, dict[str, Any]]]  # (line, row)


@dataclass(frozen=True)
class Examiner:
    """What it takes to examine rows of one file."""

    path: Path
    layout: Layout
    context: Context
    tokenizer: Path | None


def examine(examiner: Examiner, rows: Rows) -> Part:
    part = Part(rows=len(rows))
    count = token_counter(examiner.tokenizer)
    for line, row in rows:
        where = f"{examiner.path}:{line}"
        try:
            cases = cases_of(row, examiner.layout, where)
        except FieldError as error:
            part.mistakes.append(f"{where}:{error.field}: {error}")
            continue
        except Unusable as reason:
            part.dropped.append((str(reason), where))
            continue
        for case in cases:
            _add_case(part, case, examiner.context, count)
        _add_lengths(part, cases, count)
    return part


def read(case: Case, context: Context) -> Read:
    """The case with its answers read, lazily: nothing is parsed that no rule asks for."""
    good, bad = (tuple(context.read(case, answer) for answer in answers) for answers in (case.good, case.bad))
    return Read(case, good, bad)


def failures(read: Read, context: Context, rules: Iterable[str]) -> list[tuple[str, list[Failure]]]:
    """(rule, what it found) for each of the rules that has something to look at."""
    looked = []
    for name in rules:
        found = RULES[name](read, context)
        if found is not None:
            looked.append((name, [Failure(read.case.where, f.says, f.names) for f in found]))
    return looked


def _add_case(part: Part, case: Case, context: Context, count: TokenCounter) -> None:
    answered = read(case, context)
    for rule, found in failures(answered, context, RULES):
        part.checked[rule] += 1
        for failure in found:
            kept = len(part.failures[rule]) < EXCERPTS
            part.failures[rule].append(_with_excerpt(failure, case) if kept else failure)
    part.cases.append(_facts(answered))
    for reading in answered.good:
        part.sql["answers"] += 1
        part.sql["with SQL"] += bool(reading.sql)
        part.sql["hinted"] += bool(reading.sql) and all("nolock" in sql.casefold() for sql in reading.sql)
        part.answer_tokens["all"] += count(reading.answer)
        part.answer_tokens["sql"] += sum(map(count, reading.sql))
        objects, columns = uses(case.ask, reading.answer, context.names.catalogue)
        part.objects.update(objects)
        part.columns.update(columns)


def _with_excerpt(failure: Failure, case: Case) -> Failure:
    text = "\n".join(case.bad if "fault" in failure.says and case.bad else case.answers)
    return Failure(failure.where, failure.says, failure.names, text[:EXCERPT])


def _facts(answered: Read) -> Facts:
    case = answered.case
    good_denies, bad_denies = (any(reading.denies for reading in readings) for readings in (answered.good, answered.bad))
    good_refuses, bad_refuses = (any(reading.denies_a_name for reading in readings) for readings in (answered.good, answered.bad))
    return Facts(
        case.where,
        case.stage,
        case.category,
        case.template,
        case.fault,
        prompt=_digest(normalised(case.prompt)),
        good=tuple(_digest(" ".join(answer.split())) for answer in case.good),  # names differ by their case
        bad=tuple(_digest(" ".join(answer.split())) for answer in case.bad),
        good_characters=tuple(map(len, case.good)),
        bad_characters=tuple(map(len, case.bad)),
        good_denies=good_denies,
        bad_denies=bad_denies,
        good_refuses=good_refuses,
        bad_refuses=bad_refuses,
        shingles=shingles("\n".join((case.ask[-ENDING:], *case.answers))),
    )


def _add_lengths(part: Part, cases: Sequence[Case], count: TokenCounter) -> None:
    """One length for each sequence that would be trained: a chat, an answer, or either answer of a pair, behind its prompt."""
    if cases[0].stage == "sft":  # the last prompt holds all questions of the chat
        part.tokens.append(count(cases[-1].prompt) + sum(count(answer) for case in cases for answer in case.answers))
    else:
        part.tokens += [count(case.prompt) + count(answer) for case in cases for answer in case.answers]


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=12).digest()
