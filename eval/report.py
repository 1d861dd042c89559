"""report.json, report.md and the table on the terminal, from judged answers. report.html is made in eval/page.py."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from eval import page, scores
from eval.paired import Cell, Comparison, Line, sentence
from eval.scores import Judged
from eval.suites import Suite
from vgpt2 import atomic

FORMAT = 1
REPORT_LIMIT_BYTES = 1 << 28
KEYS = ("name", "suites", "limit", "catalogue", "scorer", "generation", "rows", "answers")
LEGEND = "better, worse: the flips are not chance (McNemar, exact, 5 %); same: at most 1 answer in 20 flipped; [95 % interval]"


def build(
    name: str, suites: Sequence[Suite], judged: Sequence[Judged], *, limit: int | None, catalogue: str, generation: Mapping[str, Any]
) -> dict[str, Any]:
    """The content of report.json: nothing in it depends on the machine or the date."""
    return {
        "format": FORMAT,
        "name": name,
        "suites": {suite.name: suite.sha256 for suite in suites},
        "limit": limit,
        "catalogue": catalogue,
        "scorer": scores.scorer_hash(),
        "generation": dict(generation),
        "rows": [asdict(row) for row in scores.rows(judged)],
        "answers": [asdict(answer) for answer in judged],
    }


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


def table(comparison: Comparison) -> str:
    """The final table in plain text: a row of meaning a line, a model a column."""
    grid = _grid(comparison)
    widths = [max(map(len, column)) for column in zip(*grid)]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in grid]
    return "\n".join([*lines, f"{sentence(comparison)} · {len(comparison.answers[0])} questions", LEGEND])


def markdown(comparison: Comparison) -> str:
    """The same table as Markdown; no text of a model stands in it."""
    rows = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in _grid(comparison)]
    rows.insert(1, "|" + "---|" * (len(comparison.names) + 2))
    suites = ", ".join(f"{name} {sha[:12]}" for name, sha in comparison.sources[0]["suites"].items())
    foot = f"Suite {suites}; scorer {comparison.sources[0]['scorer'][:12]}; {len(comparison.answers[0])} questions. {LEGEND}."
    return f"# {', '.join(comparison.names)}\n\n{sentence(comparison)}.\n\n" + "\n".join(rows) + f"\n\n{foot}\n"


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
