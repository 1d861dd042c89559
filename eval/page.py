"""report.html: one self-contained page from a comparison. Text of models is data on it, never markup.

Readable without script: the script only filters the list. The policy in the page allows its own style and script by hash and
nothing else, so the page loads nothing and sends nothing.
"""

import base64
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from eval import attribution, decision
from eval.abstention import PENALTIES, abstention_scores, risk_coverage
from eval.judged import Judged
from eval.markup import framed, marked, percent, row, section, text
from eval.page_answers import all_answers
from eval.paired import Cell, Comparison, Line, sentence, without_base
from eval.scores import rates

FAILURES = 3
QUESTION_SHOWN = 110
FIRST_SCREEN_ROWS = 16
NO_BREAK = "\u00a0"
LOST_SHOWN = 3
MARKS = {"better": "▲", "worse": "▼", "same": "=", "cannot tell": "?"}

# in what shown failures differ from each other, the most telling choice first
_PARTS: tuple[Callable[[Judged], tuple[str, ...]], ...] = (
    lambda a: (a.theme, a.group, a.answer),
    lambda a: (a.theme, a.answer),
    lambda a: (a.answer,),
    lambda a: (a.group,),
    lambda a: (a.id,),
)

STYLE, SCRIPT = (Path(__file__).with_name(name).read_text("utf-8") for name in ("page.css", "page.js"))


def render(comparison: Comparison) -> str:
    """The page as one HTML text."""
    policy = f"default-src 'none'; style-src '{_digest(STYLE)}'; script-src '{_digest(SCRIPT)}'; base-uri 'none'; form-action 'none'"
    title = text(", ".join(comparison.names))
    rule = decision.decision(list(comparison.answers[-1].values()))
    wanted = [line for line in comparison.lines if _is_first(line, comparison)][:FIRST_SCREEN_ROWS] or list(comparison.lines)
    others = [line for line in comparison.lines if line not in wanted]
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{title}</title><style>{STYLE}</style></head><body>",
            f"<header><h1>{text(f'{sentence(comparison)}; {rule}'.replace(' %', NO_BREAK + '%'))}</h1></header><main>",
            f'<div class="first"><div>{_results(comparison, wanted)}{_foot(comparison)}</div>',
            f"<div>{_lost(comparison)}{_failures(comparison)}</div></div>",
            section("More shares", _bars(comparison, others)) if others else "",
            _themes(comparison),
            _rates(comparison),
            _limits(comparison),
            _attribution(comparison),
            _latency(comparison),
            _confusion(comparison),
            _intervals(comparison),
            all_answers(comparison),
            f"</main><script>{SCRIPT}</script></body></html>\n",
        ]
    )


def _is_first(line: Line, comparison: Comparison) -> bool:
    """Whether a row belongs on the first screen: those with a goal, but for the two halves of a balanced accuracy."""
    group, _, half = line.key.rpartition("/")
    is_half = half in ("real", "fake") and any(other.key == f"{group}/balanced" for other in comparison.lines)
    return line.want is not None and not is_half


def _results(comparison: Comparison, lines: Sequence[Line]) -> str:
    """The first screen's rows: bars, counts and the sign of each change; intervals in figures follow in `_intervals`."""
    first, last = comparison.names[0], comparison.names[-1]
    key = f"● {text(last)} with its 95 % interval" + (f", ○ {text(first)}" if first != last else "") + ", | wanted share"
    return f'<section class="scroll" aria-label="Results">{_bars(comparison, lines)}<p class="soft">{key}</p></section>'


def _bars(comparison: Comparison, lines: Sequence[Line]) -> str:
    body = ""
    for line in lines:
        cells = "".join(f"<td>{_count(cell)} {_sign(cell)}</td>" for cell in line.cells)
        want = "" if line.want is None else f"≥ {percent(line.want)}".replace(" ", NO_BREAK)
        body += f'<tr><th scope="row">{text(line.title)}</th><td>{_bar(line)}</td>{cells}<td>{want}</td></tr>'
    return f'<div class="bars">{framed(["share of the answers", "0 to 100 %", *comparison.names, "want"], body)}</div>'


def _intervals(comparison: Comparison) -> str:
    body = ""
    for line in comparison.lines:
        cells = "".join(f"<td>{_count(cell)} {_range(cell)} {_flips(cell)}</td>" for cell in line.cells)
        body += f'<tr><th scope="row">{text(line.title)}</th>{cells}</tr>'
    return section("Intervals and flips", framed(["share of the answers", *comparison.names], body))


def _count(cell: Cell) -> str:
    return percent(cell.row.share) if cell.row.passed is None else f"{cell.row.passed}/{cell.row.n}"


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
    label = f"{percent(now.share)}, 95 % interval {percent(now.low)} to {percent(now.high)}"
    ring = want = ""
    if len(line.cells) > 1:
        label += f"; first model {percent(base.share)}"
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
    items = "".join(f"<li>{text(id)}: {text(now[id].reason)}</li>" for id in lost[:LOST_SHOWN])
    more = f'<p class="soft">and {len(lost) - LOST_SHOWN} more, in the list below</p>' if len(lost) > LOST_SHOWN else ""
    return f"<section><h2>What got worse</h2>{f'<ul>{items}</ul>{more}' if lost else '<p>nothing</p>'}</section>"


def _failures(comparison: Comparison) -> str:
    wrong = [answer for answer in comparison.answers[-1].values() if not answer.right]
    chosen = _instructive(wrong)
    if not chosen:
        return "<section><h2>Failures</h2><p>none</p></section>"
    shown = "".join(
        f"<h3>{text(answer.id)}: {text(answer.reason)}</h3><p>{text(_ending(answer.question))}</p><pre>{marked(answer, 300)}</pre>"
        for answer in chosen
    )
    return f"<section><h2>{len(wrong)} wrong answers, for example</h2>{shown}</section>"


def _instructive(wrong: Sequence[Judged]) -> list[Judged]:
    """At most three failures of the commonest themes, no text twice: those with a finding to point at, short ones before long ones."""
    common = Counter(a.theme for a in wrong)
    by_worth = sorted(wrong, key=lambda a: (a.collapse is not None, not a.findings, -common[a.theme], len(a.answer)))
    chosen: list[Judged] = []
    for parts in _PARTS:
        for answer in by_worth:
            if not any(same == other for one in chosen for same, other in zip(parts(answer), parts(one))):
                chosen.append(answer)
    return chosen[:FAILURES]


def _ending(question: str) -> str:
    """The last line of a question, where what is asked stands, or its last words; the schema is above it."""
    line = question.rstrip().rpartition("\n")[2]
    return line if len(line) <= QUESTION_SHOWN else f"… {line[-QUESTION_SHOWN:].partition(' ')[2]}"


def _foot(comparison: Comparison) -> str:
    source = comparison.sources[-1]
    suites = ", ".join(f"{name} {sha[:12]}" for name, sha in source["suites"].items())
    made = "; ".join(f"{name}: {_made(source)}" for name, source in zip(comparison.names, comparison.sources))
    call = " · ".join(str(source["latency"][part]) for part in ("date", "command") if part in source["latency"])
    legend = (
        "▲ better, ▼ worse: the flips against the model before are not chance (McNemar, exact, 5 %); "
        "= same: at most 1 answer in 20 flipped; ? cannot tell"
    )
    facts = f"suite {suites} · catalogue {source['catalogue'][:12]} · scorer {source['scorer'][:12]} · {made}"
    lines = [" · ".join(filter(None, (f"{len(comparison.answers[0])} questions", facts, call))), legend, without_base(comparison)]
    return f"<footer>{'<br>'.join(text(line) for line in lines if line)}</footer>"


def _made(source: Mapping[str, Any]) -> str:
    facts = {**source["generation"], "prompts": source["prompts"], "retrieval": source["retrieval"]}
    return ", ".join(f"{key} {value if key == 'decoding' else value[:12]}" for key, value in facts.items() if isinstance(value, str))


def _themes(comparison: Comparison) -> str:
    """Why the last model's wrong answers are wrong, and the data that would teach them."""
    found = decision.advice(list(comparison.answers[-1].values()))
    if not found:
        return ""
    body = "".join(
        f'<tr><th scope="row">{text(theme)}</th><td>{count}</td><td class="long">{text(remedy)}</td></tr>' for count, theme, remedy in found
    )
    return section(f"Wrong answers of {comparison.names[-1]} by theme", framed(["theme", "answers", "data to add"], body))


def _rates(comparison: Comparison) -> str:
    each = [rates(list(answers.values())) for answers in comparison.answers]
    names = dict.fromkeys(name for found in each for name in found)
    shown = [(name, [f"{100 * found[name]:.1f} %" if name in found else "" for found in each]) for name in names]
    return section("Rates", framed(["rate", *comparison.names], "".join(row(name.replace("_", " "), cells) for name, cells in shown)))


def _limits(comparison: Comparison) -> str:
    """Scores with a penalty for wrong answers, and the risk of the surest answers where confidences are known."""
    rows: dict[str, tuple[float, ...]] = {}
    for name, answers in zip(comparison.names, comparison.answers):
        rows |= {score.title: score.scores for score in abstention_scores(list(answers.values()), name)}
    if not rows:
        return ""
    always = rows.pop("always abstains")
    body = "".join(row(name, [f"{score:.0f}" for score in scores]) for name, scores in {**rows, "always abstains": always}.items())
    heads = ["mean score of a question, in percent", *(f"a wrong answer counts {-penalty}" for penalty in PENALTIES)]
    return section("Knowing one's limits", framed(heads, body) + _risk(comparison))


def _risk(comparison: Comparison) -> str:
    curve = risk_coverage(list(comparison.answers[-1].values()))
    if curve is None:
        return ""
    points = " ".join(f"{10 + 280 * share:.1f},{110 - 100 * risk:.1f}" for share, risk in curve.points)
    quarters = [next(risk for share, risk in curve.points if share >= quarter) for quarter in (0.25, 0.5, 0.75, 1.0)]
    said = ", ".join(f"{percent(risk)} of the surest {quarter} %" for risk, quarter in zip(quarters, (25, 50, 75, 100)))
    label = f"Wrong answers among the surest ones of {comparison.names[-1]}: {said}; mean {percent(curve.area)}"
    return (
        f'<svg role="img" aria-label="{text(label)}" width="300" height="120" viewBox="0 0 300 120">'
        '<line class="axis" x1="10" x2="290" y1="110" y2="110"/><line class="axis" x1="10" x2="10" y1="10" y2="110"/>'
        f'<polyline class="curve" points="{points}"/></svg><p class="soft">{text(label)}</p>'
    )


def _attribution(comparison: Comparison) -> str:
    found = comparison.attribution
    if found is None:
        return ""
    return section("Where right answers are lost", f"<pre>{text(attribution.text(found))}</pre>")


def _latency(comparison: Comparison) -> str:
    """Seconds and tokens of each model's answers, where its file tells them."""
    body = ""
    for name, source in zip(comparison.names, comparison.sources):
        cost = source.get("latency", {})
        if "median_s" in cost:
            body += row(name, (f"{cost['median_s']:.2f} s", f"{cost['p95_s']:.2f} s", f"{cost['tokens']:,}" if "tokens" in cost else ""))
    return section("Latency", framed(["answers of", "median", "95 % within", "tokens in all"], body)) if body else ""


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
    table = framed(["asked about", "says it exists", "says it does not", "says neither"], body)
    return section(f"Claims of existence, {comparison.names[-1]}", table)


def _x(share: float) -> str:
    return f"{5 + 140 * share:.1f}"


def _digest(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
