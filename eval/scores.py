"""From answers to the rows of meaning: what each answer passed, counted with intervals. Pure functions, no model.

judged = [judge(item, answers[item.id]) for item in items]
for row in rows(judged): print(row.title, row.passed, row.n, row.low, row.high)
"""

import hashlib
import importlib.metadata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import vgpt2.datagen
import vgpt2.judging
import vgpt2.sql
from eval import intervals
from eval.judged import Judged

# where the answer could be read: the names stand in the prompt, or nowhere
GROUP_NAMES = {"exists_list": "listed", "exists_memory": "from memory", "columns": "listed"}
SHOWN_ONLY = frozenset({"exists_memory"})  # nobody can know a name never seen, so no stage is held to it
# (what an answer passes, title, wanted share); the titles say what is good
SQL_ROWS: tuple[tuple[str, str, float | None], ...] = (
    ("resolves", "SQL that resolves", 0.90),
    ("fitting", "SQL on the asked tables and columns", 0.90),
    ("join", "joins on the whole key", 0.90),
    ("company", "company filter kept", 0.90),
    ("nolock", "WITH (NOLOCK) everywhere", 0.99),
)
ASKED_ROWS = (("names", "SQL right, columns named in the question"), ("words", "SQL right, columns only described"))
GOLD_ROWS: tuple[tuple[str, str, float | None], ...] = (
    ("house", "SQL without a finding", None),
    ("structure", "SQL of gold's structure", None),
    ("result", "SQL with gold's result", 0.80),
)
RIGHT_SQL_WANT = 0.90
EXISTENCE_WANT, COLUMN_WANT, WITHOUT_COLLAPSE_WANT, REAL_NAMES_WANT = 0.95, 0.95, 0.99, 0.95
OVERALL_WANT = 0.80  # above it a model is worth expanding, merging and deploying
OVERALL = "all/right"
Thresholds = Mapping[str, float]  # least share of right answers by group


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


def outcomes(judged: Iterable[Judged], thresholds: Thresholds | None = None) -> dict[str, dict[str, bool]]:
    """Whether each answer passed, by row and question, in the order in which the rows are shown.

    The rows `.../balanced` hold the answers of `.../real` and `.../fake` together.
    """
    answers = list(judged)
    found: dict[str, dict[str, bool]] = {}
    for group in _groups_of_their_own(answers, thresholds or {}):
        found[f"{group}/right"] = {a.id: a.right for a in answers if a.group == group}
    for group in dict.fromkeys(a.group for a in answers if a.kind == "exists"):
        asked = [a for a in answers if a.group == group and a.kind == "exists"]
        found[f"{group}/real"] = {a.id: a.right for a in asked if a.real}
        found[f"{group}/fake"] = {a.id: a.right for a in asked if not a.real}
        found[f"{group}/balanced"] = {a.id: a.right for a in asked}
    for group in dict.fromkeys(a.group for a in answers if a.kind == "column"):
        found[f"{group}/column"] = {a.id: a.right for a in answers if a.group == group and a.kind == "column"}
    sql = [a for a in answers if a.kind == "sql"]
    for name, _, _ in (*SQL_ROWS, *GOLD_ROWS):
        found[f"sql/{name}"] = {a.id: a.passed[name] for a in sql if name in a.passed}
    for way, _ in ASKED_ROWS:
        found[f"sql/asked_{way}"] = {a.id: fits(a) for a in sql if a.asked == way}
    found["all/real_names"] = {a.id: not a.unreal for a in answers}
    found["all/sound"] = {a.id: a.collapse is None for a in answers}
    found[OVERALL] = {a.id: a.right for a in answers if a.group not in SHOWN_ONLY}
    return {key: passed for key, passed in found.items() if passed}


def _groups_of_their_own(answers: Sequence[Judged], thresholds: Thresholds) -> list[str]:
    """Groups with a row of their right answers: those with a threshold, and those of SQL and of abstentions where there are several."""
    others = list(dict.fromkeys(a.group for a in answers if a.kind in ("sql", "abstain")))
    return list(dict.fromkeys([*thresholds, *(others if len(others) > 1 else ())]))


def fits(answer: Judged) -> bool:
    """Whether SQL resolves on the asked tables and columns and keeps the rules counted in SQL_ROWS, whatever it returns."""
    return all(answer.passed[name] for name, _, _ in SQL_ROWS if name in answer.passed)


def rows(judged: Sequence[Judged], thresholds: Thresholds | None = None) -> list[Row]:
    """The rows of one model's table."""
    wanted = thresholds or {}
    passed = outcomes(judged, wanted)
    names_columns = {a.group for a in judged if a.of_columns}
    table = []
    for key in passed:
        group, _, name = key.rpartition("/")
        title, want = _title_and_want(group, name, "columns" if group in names_columns else "objects", wanted)
        if name == "balanced":
            if f"{group}/real" in passed and f"{group}/fake" in passed:
                table.append(_balanced(key, title, want, passed[f"{group}/real"], passed[f"{group}/fake"]))
            continue
        k, n = sum(passed[key].values()), len(passed[key])
        table.append(Row(key, title, k, n, k / n, *intervals.wilson(k, n), want))
    return table


def rates(judged: Sequence[Judged]) -> dict[str, float]:
    """The figures that have names of their own, as shares in [0, 1]; those whose kind of question does not occur are left out."""
    real, fake = ([a for a in judged if a.real is kind] for kind in (True, False))
    sql = [a for a in judged if a.kind == "sql"]
    written = [a for a in sql if a.sql]
    ran = [a for a in sql if a.result is not None]
    shares = {
        "right": [a.right for a in judged if a.group not in SHOWN_ONLY],
        "hallucination": [bool(a.unreal) for a in judged],
        "false_rejection": [a.said == "refuses" for a in real],
        "false_acceptance": [a.said == "accepts" for a in fake],
        "resolves": [a.passed["resolves"] for a in sql],
        "house_rules": [a.passed["house"] for a in sql if "house" in a.passed],
        "nolock": [a.passed["nolock"] for a in written],
        "whole_joins": [a.passed["join"] for a in sql if "join" in a.passed],
        "structure": [a.passed["structure"] for a in sql if "structure" in a.passed],
        "execution_match": [a.passed["result"] for a in sql if "result" in a.passed],
        "not_executed": [a.result == "not executed" for a in ran],
        "timeout": [a.result == "timeout" for a in ran],
        "abstained": [a.abstained for a in judged],
        "collapse": [a.collapse is not None for a in judged],
        "schema_recall": [a.suffices for a in judged if a.suffices is not None],
    }
    found = {name: sum(hits) / len(hits) for name, hits in shares.items() if hits}
    elements = [a.elements or [0, 0] for a in sql if a.elements]
    if wanted := sum(n for _, n in elements):
        found["required_elements"] = sum(k for k, _ in elements) / wanted
    if real and fake:
        found["balanced_accuracy"] = (sum(a.right for a in real) / len(real) + sum(a.right for a in fake) / len(fake)) / 2
    return found


def scorer_files() -> list[Path]:
    """The source of everything that decides a verdict."""
    folder, data = Path(__file__).parent, Path(vgpt2.datagen.__file__).parent
    own = [folder / f"{name}.py" for name in ("scores", "judged", "structural", "failures", "intervals")]
    readers = [data / f"{name}.py" for name in ("names/statements", "names/real", "names/repair", "language/answers")]
    packages = (folder / "execution", Path(vgpt2.sql.__file__).parent)
    return [*own, *readers, Path(vgpt2.judging.__file__), *(path for package in packages for path in sorted(package.rglob("*.py")))]


def scorer_hash() -> str:
    """sha256 over the scorer's source and the version of the translator that it runs queries through."""
    digest = hashlib.sha256(_sqlglot_version().encode())
    for path in scorer_files():
        digest.update(path.name.encode() + b"\0" + path.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return digest.hexdigest()


def _sqlglot_version() -> str:
    try:
        return importlib.metadata.version("sqlglot")
    except importlib.metadata.PackageNotFoundError:
        return "none"


def _balanced(key: str, title: str, want: float | None, real: Mapping[str, bool], fake: Mapping[str, bool]) -> Row:
    first, second = (sum(real.values()), len(real)), (sum(fake.values()), len(fake))
    share = (first[0] / first[1] + second[0] / second[1]) / 2
    return Row(key, title, None, first[1] + second[1], share, *intervals.mean_of_shares(first, second), want)


def _title_and_want(group: str, name: str, what: str, thresholds: Thresholds) -> tuple[str, float | None]:
    if name == "right" and group != "all":
        return f"right answers, {group.replace('_', ' ')}", thresholds.get(group)
    titles: dict[str, tuple[str, float | None]] = {
        "real": (f"real {what} accepted", EXISTENCE_WANT),
        "fake": (f"fake {what} refused", EXISTENCE_WANT),
        "balanced": (f"{what}, balanced accuracy", EXISTENCE_WANT),
        "column": ("column found by its meaning", COLUMN_WANT),
        "real_names": ("answers that name nothing unreal", REAL_NAMES_WANT),
        "sound": ("answers without collapse", WITHOUT_COLLAPSE_WANT),
        "right": ("right answers in all", OVERALL_WANT),
        **{row: (title, share) for row, title, share in (*SQL_ROWS, *GOLD_ROWS)},
        **{f"asked_{way}": (title, RIGHT_SQL_WANT) for way, title in ASKED_ROWS},
    }
    title, want = titles[name]
    if name in ("real", "fake", "balanced") or (name == "column" and group != "columns"):
        title = f"{title}, {GROUP_NAMES.get(group, group.replace('_', ' '))}"
    # a group with a threshold of its own is held to that
    return title, None if group in SHOWN_ONLY or group in thresholds else want
