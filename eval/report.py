"""report.json, report.md and the table on the terminal, from judged answers. report.html is made in eval/page.py."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from eval import attribution, decision, page, scores
from eval.abstention import PENALTIES, abstention_scores, risk_coverage
from eval.answers import Answer
from eval.execution.match import is_available
from eval.failures import counted
from eval.judged import Judged
from eval.paired import Cell, Comparison, Line, has_adapter, may_be_base, sentence, without_base
from eval.passes import passes
from eval.suites import Suite
from vgpt2 import atomic

FORMAT = 2
BASE = "base"  # folder beside a report, and name in tables, of the model under the adapter
REPORT_LIMIT_BYTES = 1 << 28
KEYS = ("name", "suites", "limit", "retrieval", "catalogue", "scorer", "executed", "thresholds", "generation", "rates", "rows", "answers")
MOST_FLIPS = 8
LEGEND = "better, worse: the flips are not chance (McNemar, exact, 5 %); same: at most 1 answer in 20 flipped; [95 % interval]"


@dataclass(frozen=True)
class Setting:
    """What was asked of whom: hashes of catalogue and prompts, and how the answers came about."""

    name: str
    limit: int | None
    retrieval: str
    catalogue: str
    prompts: str
    generation: Mapping[str, Any]


def build(
    setting: Setting,
    suites: Sequence[Suite],
    samples: Sequence[Sequence[Judged]],
    answers: Sequence[Answer],
    *,
    call: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The content of report.json; but for `cost`, which holds the date and command of the `call`, nothing in it depends on the machine.

    `samples` are the judged answers to each question; the first ones make the table, all of them pass@k.
    """
    judged = [found[0] for found in samples]
    thresholds = {group: share for suite in suites for group, share in suite.thresholds.items()}
    curve = risk_coverage(judged)
    return {
        "format": FORMAT,
        **asdict(setting),
        "suites": {suite.name: suite.sha256 for suite in suites},
        "scorer": scores.scorer_hash(),
        "executed": any(a.result is not None for a in judged) or is_available(),
        "thresholds": thresholds,
        "rates": scores.rates(judged),
        "passes": passes(samples) if any(len(found) > 1 for found in samples) else {},
        "abstention": {row.title: row.scores for row in abstention_scores(judged, setting.name)},
        "risk_coverage": asdict(curve) if curve else None,
        "themes": dict(counted(a.theme for a in judged)),
        "decision": decision.decision(judged),
        "cost": _cost(answers) | dict(call or {}),
        "rows": [asdict(row) for row in scores.rows(judged, thresholds)],
        "answers": [asdict(answer) for answer in judged],
    }


def _cost(answers: Sequence[Answer]) -> dict[str, Any]:
    """Latency and length of the answers, where the file tells them; `seconds` by question for those of the first sample."""
    known = sorted(answer.seconds for answer in answers if answer.seconds is not None)
    tokens = [answer.tokens for answer in answers if answer.tokens is not None]
    found: dict[str, Any] = {"seconds": {a.id: a.seconds for a in answers if a.seconds is not None and not a.sample}}
    if known:
        found |= {"median_s": known[len(known) // 2], "p95_s": known[min(len(known) - 1, int(0.95 * len(known)))]}
    return found | ({"tokens": sum(tokens)} if tokens else {})


def further_lines(report: Mapping[str, Any]) -> list[str]:
    """What the table does not hold: rates, abstention, pass@k, latency."""
    shown = ("hallucination", "false_rejection", "false_acceptance", "not_executed", "abstained", "schema_recall")
    rates = ", ".join(f"{name.replace('_', ' ')} {100 * report['rates'][name]:.1f} %" for name in shown if name in report["rates"])
    lines = [rates] if rates else []
    if report["abstention"]:
        rows = "; ".join(f"{title} {' / '.join(f'{score:.0f}' for score in scores)}" for title, scores in report["abstention"].items())
        lines.append(f"score with a penalty of {' / '.join(map(str, PENALTIES))} for a wrong answer: {rows}")
    if report["passes"]:
        lines.append(", ".join(f"{name} {100 * share:.1f} %" for name, share in report["passes"].items()))
    if report["risk_coverage"]:
        lines.append(f"risk over all coverages {100 * report['risk_coverage']['area']:.1f} %, by the log-probability of the answers")
    if "median_s" in report["cost"]:
        lines.append(f"seconds an answer: median {report['cost']['median_s']:.1f}, 95 % within {report['cost']['p95_s']:.1f}")
    return lines


def write(report: Mapping[str, Any], comparison: Comparison, out: Path) -> None:
    """report.json, report.md and report.html in `out`."""
    # half a surrogate pair, which JSON may hold and UTF-8 may not, becomes a question mark
    atomic.write_bytes(out / "report.json", (json.dumps(report, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "replace"))
    write_pages(comparison, out)


def write_pages(comparison: Comparison, out: Path) -> None:
    atomic.write_text(out / "report.md", markdown(comparison))
    atomic.write_text(out / "report.html", page.render(comparison))


def read(folder: Path) -> dict[str, Any]:
    """The report in a folder that eval.run wrote; raises ValueError for anything else."""
    path = folder / "report.json" if folder.is_dir() else folder
    try:
        report = json.loads(atomic.read_small(path, REPORT_LIMIT_BYTES))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such report; make it with python -m eval.run ... --out {folder}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: is no report ({type(error).__name__}); judge again") from None
    if not isinstance(report, dict) or report.get("format") != FORMAT or not all(key in report for key in KEYS):
        raise ValueError(f"{path}: is no report of format {FORMAT}; judge again, with --answers to spare the generation")
    return report


def base_beside(folder: Path, first: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The report on the base of a first model that is an adapter, where eval.run left one beside its own."""
    beside = folder / BASE
    if not has_adapter(first) or not (beside / "report.json").is_file():
        return []
    base = read(beside)
    return [base] if may_be_base(base, first) else []


def table(comparison: Comparison) -> str:
    """The final table in plain text: a row of meaning a line, a model a column."""
    grid = _grid(comparison)
    widths = [max(map(len, column)) for column in zip(*grid)]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in grid]
    lost = [attribution.text(comparison.attribution)] if comparison.attribution else []
    said = f"{sentence(comparison)} · {len(comparison.answers[0])} questions"
    base = without_base(comparison)
    return "\n".join([*lines, said, LEGEND, *([base] if base else []), *_flips(comparison), *lost])


def _flips(comparison: Comparison) -> list[str]:
    """The questions that the last model answers otherwise than the one before."""
    if len(comparison.names) < 2:
        return []
    lines = []
    for what, ids in (("gained", comparison.gained), ("lost", comparison.lost)):
        more = f" and {len(ids) - MOST_FLIPS} more" if len(ids) > MOST_FLIPS else ""
        lines.append(f"{what} by {comparison.names[-1]}: {len(ids)}{': ' if ids else ''}{', '.join(ids[:MOST_FLIPS])}{more}")
    return lines


def markdown(comparison: Comparison) -> str:
    """The same table as Markdown; no text of a model stands in it."""
    rows = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in _grid(comparison)]
    rows.insert(1, "|" + "---|" * (len(comparison.names) + 2))
    suites = ", ".join(f"{name} {sha[:12]}" for name, sha in comparison.sources[0]["suites"].items())
    foot = f"Suite {suites}; scorer {comparison.sources[0]['scorer'][:12]}; {len(comparison.answers[0])} questions. {LEGEND}."
    judged = list(comparison.answers[-1].values())
    advice = [f"| {theme} | {count} | {remedy} |" for count, theme, remedy in decision.advice(judged)]
    themes = "\n".join(["", "| wrong because | answers | data to add |", "|---|---|---|", *advice, ""]) if advice else ""
    title = f"# {', '.join(comparison.names)}\n\n{sentence(comparison)}; {decision.decision(judged)}.\n\n"
    return title + "\n".join(rows) + f"\n{themes}\n{foot}\n"


def _grid(comparison: Comparison) -> list[list[str]]:
    """The table's texts, the header first."""
    grid = [["", *comparison.names, "want"]]
    for line in comparison.lines:
        grid.append([line.title, *(cell_text(cell, first=n == 0) for n, cell in enumerate(line.cells)), want_text(line)])
    return grid


def cell_text(cell: Cell, *, first: bool) -> str:
    """`31/50 [48-75]` for the first model, `44 better` for the others."""
    row = cell.row
    if not first:
        return f"{percent(row.share) if row.passed is None else row.passed} {cell.change}"
    count = percent(row.share) if row.passed is None else f"{row.passed}/{row.n}"
    return f"{count} [{round(100 * row.low)}-{round(100 * row.high)}]"


def want_text(line: Line) -> str:
    return "" if line.want is None else f">= {percent(line.want)}"


def percent(share: float) -> str:
    return f"{round(100 * share)} %"
