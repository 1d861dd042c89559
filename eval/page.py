"""report.html: one self-contained page from a comparison. Text of models is data on it, never markup.

Readable without script: the script only filters the list. The policy in the page allows its own style and script by hash and
nothing else, so the page loads nothing and sends nothing.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from eval.paired import Cell, Comparison, Line, sentence
from eval.scores import Judged

SHOWN_CHARACTERS = 1200
FAILURES = 3
# what browsers may not show at all, and what reverses the direction of the text around it
UNSHOWABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
MARKS = {"better": "▲", "worse": "▼", "same": "=", "cannot tell": "?"}

STYLE, SCRIPT = (Path(__file__).with_name(name).read_text("utf-8") for name in ("page.css", "page.js"))


def render(comparison: Comparison) -> str:
    """The page as one HTML text."""
    policy = f"default-src 'none'; style-src '{_digest(STYLE)}'; script-src '{_digest(SCRIPT)}'; base-uri 'none'; form-action 'none'"
    title = text(", ".join(comparison.names))
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{title}</title><style>{STYLE}</style></head><body>",
            f"<header><h1>{text(sentence(comparison))}</h1></header><main>",
            f'<div class="first">{_table(comparison)}<div>{_lost(comparison)}{_failures(comparison)}</div></div>',
            _foot(comparison),
            _intervals(comparison),
            _confusion(comparison),
            _answers(comparison),
            f"</main><script>{SCRIPT}</script></body></html>\n",
        ]
    )


def text(value: object) -> str:
    """`value` as text of the page: every character that could be markup, and every one that could hide some, is replaced."""
    return escape(UNSHOWABLE.sub("\ufffd", str(value)))


def _table(comparison: Comparison) -> str:
    """The first screen's rows: bars, counts and the sign of each change; intervals in figures follow in `_intervals`."""
    first, last = comparison.names[0], comparison.names[-1]
    key = f"● {text(last)} with its 95 % interval" + (f", ○ {text(first)}" if first != last else "") + ", | wanted share"
    body = ""
    for line in comparison.lines:
        cells = "".join(f"<td>{_count(cell)} {_sign(cell)}</td>" for cell in line.cells)
        want = "" if line.want is None else f"≥ {_percent(line.want)}"
        body += f'<tr><th scope="row">{text(line.title)}</th><td>{_bar(line)}</td>{cells}<td>{want}</td></tr>'
    table = _framed(["share of the answers", "0 to 100 %", *comparison.names, "want"], body)
    return f'<section class="scroll" aria-label="Results">{table}<p class="soft">{key}</p></section>'


def _intervals(comparison: Comparison) -> str:
    body = ""
    for line in comparison.lines:
        cells = "".join(f"<td>{_count(cell)} {_range(cell)} {_flips(cell)}</td>" for cell in line.cells)
        body += f'<tr><th scope="row">{text(line.title)}</th>{cells}</tr>'
    return f'<section class="scroll"><h2>Intervals and flips</h2>{_framed(["share of the answers", *comparison.names], body)}</section>'


def _framed(heads: Sequence[str], body: str) -> str:
    columns = "".join(f'<th scope="col">{text(head)}</th>' for head in heads)
    return f"<table><thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table>"


def _count(cell: Cell) -> str:
    return _percent(cell.row.share) if cell.row.passed is None else f"{cell.row.passed}/{cell.row.n}"


def _range(cell: Cell) -> str:
    return f'<span class="soft">[{round(100 * cell.row.low)}-{round(100 * cell.row.high)}]</span>'


def _sign(cell: Cell) -> str:
    if cell.change is None:
        return ""
    return f'<span class="{cell.change.split()[0]}" role="img" aria-label="{cell.change}">{MARKS[cell.change]}</span>'


def _flips(cell: Cell) -> str:
    if cell.change is None:
        return ""
    change = f'<span class="{cell.change.split()[0]}">{MARKS[cell.change]} {cell.change}</span>'
    return f'{change} <span class="soft">+{cell.gained} −{cell.lost}</span>'


def _bar(line: Line) -> str:
    """The last model as a dot on its interval, the first one as a ring, the wanted share as a tick; the label holds the numbers."""
    now, base = line.last.row, line.cells[0].row
    label = f"{_percent(now.share)}, 95 % interval {_percent(now.low)} to {_percent(now.high)}"
    ring = want = ""
    if len(line.cells) > 1:
        label += f"; first model {_percent(base.share)}"
        ring = f'<circle class="before" cx="{_x(base.share)}" cy="9" r="4"/>'
    if line.want is not None:
        want = f'<line class="want" x1="{_x(line.want)}" x2="{_x(line.want)}" y1="2" y2="16"/>'
    return (
        f'<svg role="img" aria-label="{text(label)}" width="130" height="18" viewBox="0 0 150 18">'
        f'<line class="axis" x1="5" x2="145" y1="9" y2="9"/>{want}{ring}'
        f'<line class="range" x1="{_x(now.low)}" x2="{_x(now.high)}" y1="9" y2="9"/>'
        f'<circle class="now" cx="{_x(now.share)}" cy="9" r="4"/></svg>'
    )


def _lost(comparison: Comparison) -> str:
    if len(comparison.names) == 1:
        return ""
    now, lost = comparison.answers[-1], comparison.lost
    items = "".join(f"<li>{text(id)}: {text(now[id].reason)}</li>" for id in lost[:5])
    more = f'<p class="soft">and {len(lost) - 5} more, in the list below</p>' if len(lost) > 5 else ""
    return f"<section><h2>What got worse</h2>{f'<ul>{items}</ul>{more}' if lost else '<p>nothing</p>'}</section>"


def _failures(comparison: Comparison) -> str:
    wrong = [answer for answer in comparison.answers[-1].values() if not answer.right]
    chosen = _instructive(wrong)
    if not chosen:
        return "<section><h2>Failures</h2><p>none</p></section>"
    shown = "".join(
        f"<h3>{text(answer.id)}: {text(answer.reason)}</h3><p>{text(_ending(answer.question))}</p><pre>{_marked(answer, 300)}</pre>"
        for answer in chosen
    )
    return f"<section><h2>{len(wrong)} wrong answers, for example</h2>{shown}</section>"


def _instructive(wrong: Sequence[Judged]) -> list[Judged]:
    """At most three failures: first those with a finding to point at, of different groups, short ones before long ones."""
    by_worth = sorted(wrong, key=lambda a: (a.collapse is not None, not a.findings, len(a.answer)))
    first_of_group = {a.group: a for a in reversed(by_worth)}
    chosen = sorted(first_of_group.values(), key=by_worth.index)
    return [*chosen, *(a for a in by_worth if a not in chosen)][:FAILURES]


def _ending(question: str) -> str:
    """The last line of a question, where what is asked stands; the schema is above it."""
    return question.rstrip().rpartition("\n")[2][-200:]


def _foot(comparison: Comparison) -> str:
    source = comparison.sources[-1]
    suites = ", ".join(f"{name} {sha[:12]}" for name, sha in source["suites"].items())
    made = "; ".join(f"{name}: {_made(source['generation'])}" for name, source in zip(comparison.names, comparison.sources))
    return (
        f"<footer>{len(comparison.answers[0])} questions · suite {text(suites)} · catalogue {text(source['catalogue'][:12])} · "
        f"scorer {text(source['scorer'][:12])} · {text(made)}<br>▲ better, ▼ worse: the flips against the model before are not chance "
        "(McNemar, exact, 5 %); = same: at most 1 answer in 20 flipped; ? cannot tell</footer>"
    )


def _made(generation: dict[str, Any]) -> str:
    return ", ".join(f"{key} {str(value)[:12]}" for key, value in generation.items() if isinstance(value, str))


def _confusion(comparison: Comparison) -> str:
    """What the last model says of real and of unreal names."""
    asked = [answer for answer in comparison.answers[-1].values() if answer.real is not None]
    if not asked:
        return ""
    body = ""
    for group in dict.fromkeys(answer.group for answer in asked):
        for real, name in ((True, "real"), (False, "unreal")):
            said = [answer.said for answer in asked if answer.group == group and answer.real == real]
            counts = "".join(f"<td>{said.count(kind)}</td>" for kind in ("accepts", "refuses", None))
            body += f'<tr><th scope="row">{text(group)}, {name}</th>{counts}</tr>'
    table = _framed(["asked about", "says it exists", "says it does not", "says neither"], body)
    return f'<section class="scroll"><h2>Claims of existence, {text(comparison.names[-1])}</h2>{table}</section>'


def _answers(comparison: Comparison) -> str:
    groups = "".join(f"<option>{text(group)}</option>" for group in dict.fromkeys(a.group for a in comparison.answers[0].values()))
    verdicts = "".join(f"<option>{verdict}</option>" for verdict in ("right", "wrong", "lost", "gained", "collapsed"))
    rows = "".join(_answer(comparison, id) for id in comparison.answers[0])
    return (
        '<section><h2>All answers</h2><form class="filters" hidden><label>Search <input name="text" type="search"></label>'
        f'<label>Verdict <select name="verdict"><option value="">all</option>{verdicts}</select></label>'
        f'<label>Group <select name="group"><option value="">all</option>{groups}</select></label>'
        f'<span id="count" role="status"></span></form>{rows}</section>'
    )


def _answer(comparison: Comparison, id: str) -> str:
    answers = [found[id] for found in comparison.answers]
    last = answers[-1]
    verdicts = ["right" if last.right else "wrong"] + ["collapsed"] * (last.collapse is not None)
    if len(answers) > 1 and answers[-2].right != last.right:
        verdicts.append("gained" if last.right else "lost")
    mark = "✓ right" if last.right else f"✗ {text(last.reason)}"
    given = "".join(_given(name, answer) for name, answer in zip(comparison.names, answers))
    return (
        f'<details data-verdict="{" ".join(verdicts)}" data-group="{text(last.group)}"><summary>{text(id)} '
        f'<span class="{"better" if last.right else "worse"}">{mark}</span></summary>'
        f"<h3>Question</h3><pre>{text(last.question)}</pre><h3>Right</h3><pre>{text(last.gold)}</pre>{given}</details>"
    )


def _given(name: str, answer: Judged) -> str:
    verdict = "right" if answer.right else answer.reason
    notes = "".join(f"<li>{text(f['code'])}: {text(f['message'])}</li>" for f in answer.findings[:8])
    collapse = f", {answer.collapse}" if answer.collapse else ""
    listed = f"<ul>{notes}</ul>" if notes else ""
    return f"<h3>{text(name)}: {text(verdict)}{text(collapse)}</h3><pre>{_marked(answer, SHOWN_CHARACTERS)}</pre>{listed}"


def _marked(answer: Judged, limit: int) -> str:
    """The answer's text, at most `limit` characters, with every finding's place underlined."""
    said = answer.answer
    spans = sorted({span for finding in answer.findings if (span := _span(said, finding)) and span[1] <= limit})
    html, done = "", 0
    for start, end in spans:
        if start >= done:
            html += f"{text(said[done:start])}<u>{text(said[start:end])}</u>"
            done = end
    html += text(said[done:limit])
    return html + (f"… ({len(said) - limit} characters more)" if len(said) > limit else "")


def _span(answer: str, finding: dict[str, Any]) -> tuple[int, int] | None:
    """Where in the answer a finding's name stands: its line and column count within the SQL block."""
    start = answer.find(finding["sql"])
    lines = finding["sql"].split("\n")
    if start < 0 or not finding["name"] or not 1 <= finding["line"] <= len(lines):
        return None
    start += sum(len(line) + 1 for line in lines[: finding["line"] - 1]) + finding["column"] - 1
    return start, start + len(finding["name"])


def _x(share: float) -> str:
    return f"{5 + 140 * share:.1f}"


def _percent(share: float) -> str:
    return f"{round(100 * share)} %"


def _digest(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
