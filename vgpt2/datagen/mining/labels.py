"""Whether a model's answer is one to repeat or to avoid: what the judge, the checker, the catalogue and the user say of it.

An answer is desirable only where something shows that it is right and nothing speaks against it; where the two disagree, or nothing
is known, it is left out with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from vgpt2.datagen.audit.rules import Context
from vgpt2.datagen.mining.answered import Answered
from vgpt2.datagen.names.statements import Reading
from vgpt2.judging import Item, judge
from vgpt2.sql.binding import TooMuchWork
from vgpt2.sql.extract import sql_blocks
from vgpt2.sql.structure import Structure, structure

# what a structure leaves out: which rows are kept, in what order, and over which a window runs
_ROWS = re.compile(r"\bTOP \(?\d+|\bDISTINCT\b|\bLEFT (?:OUTER )?JOIN\b|\bPARTITION BY [^)]*|\bORDER BY [^)]*")


@dataclass(frozen=True)
class Labelled:
    """`label` is None where the answer is left out; `reason` is why, or what is wrong with an undesirable one."""

    answered: Answered
    label: bool | None
    reason: str


def labelled(answered: Answered, context: Context) -> Labelled:
    reading = Reading(answered.answer, answered.ask, context.names, context.names.words)
    if any(finding.code == "too_complex" for finding in reading.findings):
        return Labelled(answered, None, "SQL too long or too deep to check")
    error, doubt = next(_errors(reading), None), next(_doubts(reading), None)
    if answered.item is not None:
        return _judged(answered, context, error, doubt)
    if error:
        return Labelled(answered, None, "liked by the user, wrong to the checker") if answered.liked else Labelled(answered, False, error)
    if doubt:
        return Labelled(answered, None, "names something in prose that is not known to be real")
    if answered.liked is None:
        return Labelled(answered, None, "nothing shows whether it is right")
    return Labelled(answered, answered.liked, "" if answered.liked else "disliked by the user")


def _judged(answered: Answered, context: Context, error: str | None, doubt: str | None) -> Labelled:
    """The judge decides, but no answer with an error is right to repeat."""
    assert answered.item is not None
    verdict = judge(answered.item, answered.answer, context.names.catalogue)
    if not verdict.right:
        return Labelled(answered, False, error or verdict.reason)
    if error:
        return Labelled(answered, False, error)
    if answered.liked is False:
        return Labelled(answered, None, "disliked by the user, right to the judge")
    if doubt:
        return Labelled(answered, None, "names something in prose that is not known to be real")
    if answered.item.kind == "sql" and not _is_built_like_gold(answered, answered.item, context):
        return Labelled(answered, None, "SQL built otherwise than the gold SQL")
    return Labelled(answered, True, "")


def _is_built_like_gold(answered: Answered, item: Item, context: Context) -> bool:
    """Whether the SQL has a gold one's tables, joins, filters, groups and aggregates, and its rows and order: the judge may pass less."""
    texts = sql_blocks(answered.answer)
    golds = [str(expect["sql"]) for expect in item.accepted if expect.get("sql")]
    try:
        found = [_built(sql, context) for sql in texts]
        return any(all(built == _built(gold, context) for built in found) for gold in golds)
    except TooMuchWork:
        return False


def _built(sql: str, context: Context) -> tuple[Structure, list[str]]:
    return structure(sql, context.names.catalogue), _ROWS.findall(" ".join(sql.upper().split()))


def _errors(reading: Reading) -> Iterator[str]:
    """What is certainly wrong: findings in the SQL, real names denied, unreal ones taken for real."""
    yield from (f"{finding.code}: {finding.message}" for finding in reading.findings)
    yield from (f"denies {name}" for name in reading.denied_reals)
    yield from (f"accepts {unreal.name}" for unreal in reading.accepted_fakes)


def _doubts(reading: Reading) -> Iterator[str]:
    """What may be wrong: words of the prose that look like names, denials that offer nothing."""
    yield from (f"names {unreal.name}" for unreal in reading.unreal)
    if reading.denies_a_name and not reading.alternatives:
        yield "offers no alternative"
