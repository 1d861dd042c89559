"""From answers to the rows of meaning: what each answer passed, counted with intervals. Pure functions, no model.

    judged = [judged_answer(item, answers[item.id], catalogue) for item in items]
    for row in rows(judged): print(row.title, row.passed, row.n, row.low, row.high)
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import vgpt2.judging
import vgpt2.sql
from eval import intervals
from vgpt2.judging import Item, existence, judge
from vgpt2.sql.catalogue import Catalogue

# where the answer could be read: the names stand in the prompt, or nowhere
GROUP_NAMES = {"exists_list": "listed", "exists_memory": "from memory", "columns": "listed", "sql_schema": ""}
SHOWN_ONLY = frozenset({"exists_memory"})  # nobody can know a name never seen, so no stage is held to it
# (what an answer passes, title, wanted share); the titles say what is good
SQL_ROWS = (
    ("resolves", "SQL that resolves", 0.90),
    ("fitting", "SQL on the asked tables and columns", 0.90),
    ("join", "joins on the whole key", 0.90),
    ("company", "company filter kept", 0.90),
    ("nolock", "WITH (NOLOCK) everywhere", 0.99),
)
ASKED_ROWS = (("names", "SQL right, columns named in the question"), ("words", "SQL right, columns only described"))
RIGHT_SQL_WANT = 0.90
EXISTENCE_WANT, COLUMN_WANT, WITHOUT_COLLAPSE_WANT = 0.95, 0.95, 0.99


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


@dataclass(frozen=True)
class Row:
    """A share with its 95 % interval. `want` is the least share wanted, None where it is shown only.

    A balanced accuracy has passed = None: it is the mean of two shares.
    """

    key: str
    title: str
    passed: int | None
    n: int
    share: float
    low: float
    high: float
    want: float | None


def judged_answer(item: Item, answer: str, catalogue: Catalogue) -> Judged:
    """The verdict on one answer, with what a reader needs to follow it."""
    verdict = judge(item, answer, catalogue)
    asks_existence = item.kind == "exists"
    return Judged(
        id=item.id,
        kind=item.kind,
        group=item.group,
        question=item.messages[-1]["content"],
        answer=answer,
        passed=verdict.passed,
        right=verdict.right,
        collapse=verdict.collapse,
        reason=verdict.reason,
        real=bool(item.expect["exists"]) if asks_existence else None,
        said=existence(answer, item.expect["name"]) if asks_existence else None,
        of_columns=asks_existence and "." in item.expect["name"],
        asked=item.expect.get("asked"),
        gold=_gold(item),
        findings=[{"sql": sql, **asdict(finding)} for sql, finding in verdict.findings],
    )


def outcomes(judged: Iterable[Judged]) -> dict[str, dict[str, bool]]:
    """Whether each answer passed, by row and question, in the order in which the rows are shown.

    The rows `.../balanced` hold the answers of `.../real` and `.../fake` together.
    """
    answers = list(judged)
    found: dict[str, dict[str, bool]] = {}
    for group in dict.fromkeys(a.group for a in answers if a.kind == "exists"):
        asked = [a for a in answers if a.group == group and a.kind == "exists"]
        found[f"{group}/real"] = {a.id: a.right for a in asked if a.real}
        found[f"{group}/fake"] = {a.id: a.right for a in asked if not a.real}
        found[f"{group}/balanced"] = {a.id: a.right for a in asked}
    for group in dict.fromkeys(a.group for a in answers if a.kind == "column"):
        found[f"{group}/column"] = {a.id: a.right for a in answers if a.group == group and a.kind == "column"}
    for group in dict.fromkeys(a.group for a in answers if a.kind == "sql"):
        for name, _, _ in SQL_ROWS:
            found[f"{group}/{name}"] = {a.id: a.passed[name] for a in answers if a.group == group and name in a.passed}
        for way, _ in ASKED_ROWS:
            found[f"{group}/asked_{way}"] = {a.id: a.right for a in answers if a.group == group and a.asked == way}
    found["all/sound"] = {a.id: a.collapse is None for a in answers}
    return {key: passed for key, passed in found.items() if passed}


def rows(judged: Sequence[Judged]) -> list[Row]:
    """The rows of one model's table."""
    passed = outcomes(judged)
    names_columns = {a.group for a in judged if a.of_columns}
    table = []
    for key in passed:
        group, _, name = key.rpartition("/")
        title, want = _title_and_want(group, name, "columns" if group in names_columns else "objects")
        if name == "balanced":
            if f"{group}/real" in passed and f"{group}/fake" in passed:
                table.append(_balanced(key, title, want, passed[f"{group}/real"], passed[f"{group}/fake"]))
            continue
        k, n = sum(passed[key].values()), len(passed[key])
        table.append(Row(key, title, k, n, k / n, *intervals.wilson(k, n), want))
    return table


def scorer_hash() -> str:
    """sha256 over the source of everything that decides a verdict."""
    sql = Path(vgpt2.sql.__file__).parent
    files = [Path(__file__), Path(intervals.__file__), Path(vgpt2.judging.__file__), *sorted(sql.rglob("*.py"))]
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode() + b"\0" + path.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return digest.hexdigest()


def from_json(row: Mapping[str, Any]) -> Judged:
    """A Judged from an entry of report.json."""
    return Judged(**row)


def _balanced(key: str, title: str, want: float | None, real: Mapping[str, bool], fake: Mapping[str, bool]) -> Row:
    first, second = (sum(real.values()), len(real)), (sum(fake.values()), len(fake))
    share = (first[0] / first[1] + second[0] / second[1]) / 2
    return Row(key, title, None, first[1] + second[1], share, *intervals.mean_of_shares(first, second), want)


def _title_and_want(group: str, name: str, what: str) -> tuple[str, float | None]:
    place = GROUP_NAMES.get(group, group)
    titles: dict[str, tuple[str, float | None]] = {
        "real": (f"real {what} accepted", EXISTENCE_WANT),
        "fake": (f"fake {what} refused", EXISTENCE_WANT),
        "balanced": (f"{what}, balanced accuracy", EXISTENCE_WANT),
        "column": ("column found by its meaning", COLUMN_WANT),
        "sound": ("answers without collapse", WITHOUT_COLLAPSE_WANT),
        **{row: (title, share) for row, title, share in SQL_ROWS},
        **{f"asked_{way}": (title, RIGHT_SQL_WANT) for way, title in ASKED_ROWS},
    }
    title, want = titles[name]
    if place and name in ("real", "fake", "balanced"):
        title = f"{title}, {place}"
    return title, None if group in SHOWN_ONLY else want


def _gold(item: Item) -> str:
    """What a right answer says, for the reader."""
    if item.kind == "sql":
        return str(item.expect.get("sql", ", ".join(item.expect["tables"])))
    if item.kind == "column":
        return f"{item.expect['table']}.{item.expect['column']}" if item.expect["column"] else f"no column of {item.expect['table']}"
    return f"{item.expect['name']} {'exists' if item.expect['exists'] else 'does not exist'}"
