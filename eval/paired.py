"""Models beside each other, each against the one before it, question by question. Pure functions over reports."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eval import attribution, intervals, scores
from eval.attribution import Attribution
from eval.intervals import Change
from eval.judged import Judged, from_json
from eval.scores import Row

SAME_FOR_ALL = {
    "suites": "other suites",
    "limit": "another --limit",
    "catalogue": "another catalogue",
    "scorer": "another scorer",
    "executed": "another judge: sqlglot is missing in one",
}


@dataclass(frozen=True)
class Cell:
    """A row of one model and, but for the first model, its flips against the model before: answers gained and lost."""

    row: Row
    gained: int = 0
    lost: int = 0
    change: Change | None = None


@dataclass(frozen=True)
class Line:
    """One row of meaning across the models."""

    title: str
    want: float | None
    cells: tuple[Cell, ...]

    @property
    def key(self) -> str:
        return self.cells[0].row.key

    @property
    def last(self) -> Cell:
        return self.cells[-1]

    @property
    def meets_want(self) -> bool | None:
        return None if self.want is None else self.last.row.share >= self.want


@dataclass(frozen=True)
class Comparison:
    """Models from the first ancestor to the last descendant, their rows and their judged answers by question."""

    names: tuple[str, ...]
    lines: tuple[Line, ...]
    answers: tuple[dict[str, Judged], ...]  # one a model
    sources: tuple[Mapping[str, Any], ...]  # of each report: what was judged, by which suite and scorer

    @property
    def lost(self) -> list[str]:
        """Questions that the model before answered right and the last one does not."""
        if len(self.answers) < 2:
            return []
        before, now = self.answers[-2:]
        return [id for id in now if before[id].right and not now[id].right]

    @property
    def gained(self) -> list[str]:
        """Questions that the last model answers right and the one before did not."""
        if len(self.answers) < 2:
            return []
        before, now = self.answers[-2:]
        return [id for id in now if now[id].right and not before[id].right]

    @property
    def attribution(self) -> Attribution | None:
        """Where right answers are lost, when the same questions were asked with retrieved and with perfect schema."""
        ways = {str(source["retrieval"]): answers for source, answers in zip(self.sources, self.answers)}
        return attribution.attribution(ways)

    @property
    def gate(self) -> list[Line]:
        """Rows with a wanted share in which the last model is worse than the one before."""
        return [line for line in self.lines if line.want is not None and line.last.change == "worse"]


def compare(reports: Sequence[Mapping[str, Any]]) -> Comparison:
    """Reports in order of descent. Raises ValueError where they did not answer the same questions under the same rules."""
    first = reports[0]
    for report in reports[1:]:
        for part, other in SAME_FOR_ALL.items():
            if report[part] != first[part]:
                cure = "judge both again with --answers" if part == "scorer" else "judge both with the same"
                raise ValueError(f"{report['name']}: was judged with {other} than {first['name']}; {cure}")
    answers = tuple({row["id"]: from_json(row) for row in report["answers"]} for report in reports)
    if any(found.keys() != answers[0].keys() for found in answers):
        raise ValueError(f"{first['name']}: the reports hold answers to different questions; judge all on the same suite")
    thresholds = first["thresholds"]
    tables = [scores.rows(list(found.values()), thresholds) for found in answers]
    passed = [scores.outcomes(found.values(), thresholds) for found in answers]
    lines = [_line([table[place] for table in tables], passed) for place in range(len(tables[0]))]
    sources = tuple(_source(report) for report in reports)
    return Comparison(tuple(str(report["name"]) for report in reports), tuple(lines), answers, sources)


def _source(report: Mapping[str, Any]) -> dict[str, Any]:
    """What a report was made of and how long that took, without its answers."""
    kept = {key: value for key, value in report.items() if key not in ("answers", "rows", "cost")}
    return kept | {"latency": {key: value for key, value in report.get("cost", {}).items() if key != "seconds"}}


def has_adapter(report: Mapping[str, Any]) -> bool:
    return "adapter" in report["generation"]


def may_be_base(base: Mapping[str, Any], report: Mapping[str, Any]) -> bool:
    """Whether `base` is a report on the model under the other's adapter; of a model without one that cannot be told."""
    return not has_adapter(base) and (not has_adapter(report) or base["generation"].get("model") == report["generation"]["model"])


def without_base(comparison: Comparison) -> str | None:
    """What to say where the first model is an adapter already, so that nobody sees what training did to its base."""
    if not has_adapter(comparison.sources[0]):
        return None
    return "no row of the base model: judge it with --model on the same suites and put it first in python -m eval.compare"


def sentence(comparison: Comparison) -> str:
    """What a reader should know first."""
    wanted = [line for line in comparison.lines if line.want is not None]
    met = sum(bool(line.meets_want) for line in wanted)
    name = comparison.names[-1]
    goals = f"it reaches {met} of {len(wanted)} goals"
    if len(comparison.names) == 1:
        return f"{name} reaches {met} of {len(wanted)} goals"
    counts = {change: sum(line.last.change == change for line in comparison.lines) for change in ("better", "worse")}
    worse = f"worse on {counts['worse']}" if counts["worse"] else "worse on none"
    return f"{name} is better than {comparison.names[-2]} on {counts['better']} of {len(comparison.lines)} rows, {worse}; {goals}"


def _line(rows: Sequence[Row], passed: Sequence[Mapping[str, Mapping[str, bool]]]) -> Line:
    key = rows[0].key
    cells = [Cell(rows[0])]
    for row, before, now in zip(rows[1:], passed, passed[1:]):
        gained = sum(now[key][id] and not before[key][id] for id in now[key])
        lost = sum(before[key][id] and not now[key][id] for id in now[key])
        cells.append(Cell(row, gained, lost, intervals.change(gained, lost, row.n)))
    return Line(rows[0].title, rows[0].want, tuple(cells))
