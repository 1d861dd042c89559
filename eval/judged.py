"""One answer with all that can be said of it: verdict, result, structure, claims, unreal names, theme of failure.

with Judge(names) as judge:
    judged = judge(item, answer)    # judged.right, judged.reason, judged.theme
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any

from eval.execution.match import Execution, Runner, is_available
from eval.failures import theme_of
from eval.structural import Likeness, best_likeness
from vgpt2.datagen.names.real import Names
from vgpt2.datagen.names.statements import Reading
from vgpt2.judging import Item, Verdict, abstains, existence, judge
from vgpt2.sql.extract import claims, sql_blocks

MOST_NAMES = 12  # unreal names kept of one answer


@dataclass(frozen=True)
class Judged:
    """One answer with its verdict, as plain data for a report. `real` and `said` only where existence was asked."""

    id: str
    kind: str
    group: str
    question: str
    answer: str
    passed: dict[str, bool]
    right: bool
    collapse: str | None
    reason: str
    real: bool | None = None
    said: str | None = None
    of_columns: bool = False
    asked: str | None = None  # of SQL: whether its columns were given by name or described in words
    gold: str = ""
    findings: list[dict[str, Any]] = field(default_factory=list)
    sql: list[str] = field(default_factory=list)
    claims: list[list[str]] = field(default_factory=list)  # [kind, name] of each
    unreal: list[str] = field(default_factory=list)  # names taken for real that are not
    result: str | None = None  # same, different, timeout, not executed; None where nothing was to be run
    differs_in: list[str] = field(default_factory=list)  # parts of the query that are not gold's
    elements: list[int] | None = None  # of gold's elements [present, wanted]
    answerable: bool = True  # False where the right answer is that the data is not there
    abstained: bool = False
    theme: str = ""  # of the failure
    shown: list[str] | None = None  # objects that retrieval put into the prompt
    suffices: bool | None = None  # whether they hold all tables of an accepted answer
    confidence: float | None = None  # log-probability in nats: that of the identifiers where the answers file has it


class Judge:
    """Judges answers about one catalogue; holds the process that runs queries."""

    def __init__(self, names: Names, *, executes: bool = True) -> None:
        """Without `executes`, or without sqlglot, queries are compared by structure alone."""
        self._names = names
        self._runner = Runner(names.catalogue) if executes and is_available() else None

    @property
    def executes(self) -> bool:
        return self._runner is not None

    def __enter__(self) -> Judge:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._runner is not None:
            self._runner.close()

    def __call__(self, item: Item, answer: str, *, shown: Sequence[str] | None = None, confidence: float | None = None) -> Judged:
        """The verdict on one answer, with what a reader needs to follow it; never raises on any answer."""
        catalogue = self._names.catalogue
        verdict = judge(item, answer, catalogue)
        question, blocks = item.messages[-1]["content"], sql_blocks(answer)
        asks_existence = item.kind == "exists"
        said = existence(answer, item.expect["name"]) if asks_existence else None
        reading = Reading(answer, question, self._names, self._names.words)
        execution = self._executed(item, verdict, blocks)
        golds, more = _golds(item), bool(item.expect.get("more_columns"))
        likeness = best_likeness(golds, blocks, catalogue, more_columns=more) if golds and verdict.passed.get("resolves") else None
        passed = verdict.passed | _more(item, verdict, execution, likeness, executes=self.executes)
        right, reason = _conclusion(item, verdict, execution, likeness)
        return Judged(
            id=item.id,
            kind=item.kind,
            group=item.group,
            question=question,
            answer=answer,
            passed=passed,
            right=right,
            collapse=verdict.collapse,
            reason=reason,
            real=bool(item.expect["exists"]) if asks_existence else None,
            said=said,
            of_columns=asks_existence and "." in item.expect["name"],
            asked=item.expect.get("asked"),
            gold=gold_text(item),
            findings=[{"sql": sql, **asdict(finding)} for sql, finding in verdict.findings],
            sql=blocks,
            claims=[[claim.kind, claim.name] for claim in claims(answer)],
            unreal=_unreal(item, said, reading),
            result=execution.verdict if execution else None,
            differs_in=[part for part, same in likeness.equal.items() if not same] if likeness else [],
            elements=[likeness.present, likeness.wanted] if likeness else None,
            answerable=item.kind != "abstain" and not (item.kind == "column" and item.expect["column"] is None),
            abstained=item.kind != "exists" and not blocks and (abstains(answer) or reading.denies or "?" in answer),
            theme="" if right else self._theme(item, verdict, said, reading, blocks, execution, likeness),
            shown=None if shown is None else list(shown),
            suffices=None if shown is None or item.kind != "sql" else any(set(a["tables"]) <= set(shown) for a in item.accepted),
            confidence=confidence,
        )

    def _executed(self, item: Item, verdict: Verdict, blocks: Sequence[str]) -> Execution | None:
        """The result of the answer's queries against gold's; of several texts the first that is not gold's. None where nothing is run."""
        golds, more = _golds(item), bool(item.expect.get("more_columns"))
        if self._runner is None or not golds or not verdict.passed.get("resolves"):
            return None
        found = [self._runner.match_any(golds, sql, more_columns=more) for sql in blocks]
        return next((one for one in found if one.verdict != "same"), found[0])

    def _theme(
        self,
        item: Item,
        verdict: Verdict,
        said: str | None,
        reading: Reading,
        blocks: Sequence[str],
        execution: Execution | None,
        likeness: Likeness | None,
    ) -> str:
        told = said if item.kind == "exists" else ("denies" if reading.denies else None)
        return theme_of(item, verdict, told, self._names.catalogue, has_sql=bool(blocks), execution=execution, likeness=likeness)


def _golds(item: Item) -> list[str]:
    """The queries that a right answer may be."""
    return [str(accepted["sql"]) for accepted in item.accepted if "sql" in accepted]


def _unreal(item: Item, said: str | None, reading: Reading) -> list[str]:
    """Names that the answer takes for real and that are not, the asked one among them although it be an English word."""
    accepted = [str(item.expect["name"])] if said == "accepts" and not item.expect["exists"] else []
    return list(dict.fromkeys([*accepted, *(unreal.name for unreal in reading.unreal)]))[:MOST_NAMES]


def from_json(row: Mapping[str, Any]) -> Judged:
    """A Judged from an entry of report.json."""
    return Judged(**row)


def gold_text(item: Item) -> str:
    """What a right answer says, for the reader."""
    if item.kind == "sql":
        return str(item.expect.get("sql", ", ".join(item.expect["tables"])))
    if item.kind == "column":
        return f"{item.expect['table']}.{item.expect['column']}" if item.expect["column"] else f"no column of {item.expect['table']}"
    if item.kind == "abstain":
        return f"no SQL: {item.expect['why']}"
    return f"{item.expect['name']} {'exists' if item.expect['exists'] else 'does not exist'}"


def _more(item: Item, verdict: Verdict, execution: Execution | None, likeness: Likeness | None, *, executes: bool) -> dict[str, bool]:
    """What is asked of SQL beyond the verdict: the house rules, gold's result and gold's structure."""
    if item.kind != "sql":
        return {}
    house = {"house": verdict.passed["resolves"] and _keeps_house_rules(verdict)}
    if "sql" not in item.expect:
        return house
    ran = {"result": execution is not None and bool(execution.matches)} if executes else {}
    return {**house, **ran, "structure": likeness is not None and likeness.is_whole}


def _keeps_house_rules(verdict: Verdict) -> bool:
    return not any(finding.severity == "error" for _, finding in verdict.findings)


def _conclusion(item: Item, verdict: Verdict, execution: Execution | None, likeness: Likeness | None) -> tuple[bool, str]:
    """Whether the answer is right, and why not.

    SQL is right when it breaks no rule and returns what gold returns; where it could not be run, when its structure is gold's; where a
    suite has no gold query, when it fits.
    """
    if item.kind != "sql" or "sql" not in item.expect or not verdict.passed["resolves"]:
        return verdict.right, verdict.reason
    if not _keeps_house_rules(verdict):
        return False, next(finding.message for _, finding in verdict.findings if finding.severity == "error")
    if execution is not None and execution.matches is not None:
        return execution.matches, "" if execution.matches else execution.reason
    if likeness is None:
        return verdict.right, verdict.reason
    reason = f"not executed ({execution.reason})" if execution else "another structure than gold's"
    return likeness.is_whole, "" if likeness.is_whole else reason
