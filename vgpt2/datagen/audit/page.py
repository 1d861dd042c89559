"""The audit as one self-contained page: lengths, balances, coverage, rows that broke a rule.

Texts of rows are never markup. The policy in the page allows its own style by hash and nothing else: it runs no script, loads nothing and
sends nothing.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from vgpt2.datagen.audit.balance import LENGTH_RATIO
from vgpt2.datagen.audit.coverage import ENOUGH
from vgpt2.datagen.audit.facts import Failure
from vgpt2.datagen.audit.gate import Audit, FileAudit
from vgpt2.datagen.audit.report import figures

EXAMPLES = 10  # rows shown of a broken rule
TEMPLATES = 60
# what browsers may not show at all, and what reverses the direction of the text around it
_UNSHOWABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
_WIDTH, _HEIGHT = 460, 120

STYLE = Path(__file__).with_name("page.css").read_text("utf-8")


def render(result: Audit) -> str:
    """The page as one HTML text."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    files = "".join(_file(file) for file in result.files)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Audit: {text(sentence(result))}</title><style>{STYLE}</style></head>\n"
        f"<body><header><h1>{text(sentence(result))}</h1></header><main>{files}</main>"
        f"<footer>catalogue {text(result.catalogue[:12])}</footer></body></html>\n"
    )


def text(value: object) -> str:
    """`value` as text of the page: every character that could be markup, and every one that could hide some, is replaced."""
    return escape(_UNSHOWABLE.sub("\ufffd", str(value)))


def sentence(result: Audit) -> str:
    """What one remembers of the audit."""
    passed = sum(file.passed for file in result.files)
    whole = f"{passed} of {len(result.files)} sets pass the audit" if len(result.files) > 1 else ""
    worst = max(result.files, key=_unreal_share)
    if _unreal_share(worst):
        checked = worst.outcomes["unreal names in rewarded answers"].checked
        share = f"{round(_unreal_share(worst) * checked):,} of {checked:,} rewarded answers ({_unreal_share(worst):.1%})"
        named = f"{share} in {worst.path.name} name a table or column that is not real"
        return f"{whole}; {named}" if whole else named
    return whole or f"{result.files[0].path.name} {'passes' if result.files[0].passed else 'fails'} the audit"


def _unreal_share(file: FileAudit) -> float:
    outcome = file.outcomes["unreal names in rewarded answers"]
    return len({str(failure.where) for failure in outcome.failures}) / max(1, outcome.checked)


def _file(file: FileAudit) -> str:
    verdict = '<span class="good">✓ passed</span>' if file.passed else '<span class="bad">✗ failed</span>'
    facts = "".join(f'<tr><th scope="row">{text(name)}</th><td>{text(value)}</td></tr>' for name, value in figures(file).items())
    return (
        f'<section aria-label="{text(file.path.name)}"><h2>{text(file.path.name)} {verdict} '
        f'<span class="soft">{file.rows:,} rows, {text(file.stage)}, sha256 {file.sha256[:12]}</span></h2>'
        f'<div class="pair"><div class="scroll">{_rules(file)}</div>'
        f"<div>{_histogram(file)}<table><tbody>{facts}</tbody></table></div></div>"
        f'{_unreal(file)}<div class="pair"><div class="scroll">{_templates(file)}</div>'
        f'<div class="scroll">{_ratios(file)}{_coverage(file)}</div></div>{_examples(file)}</section>'
    )


def _rules(file: FileAudit) -> str:
    body = ""
    for name, outcome in file.outcomes.items():
        bad = len(outcome.failures)
        mark = '<span class="bad">✗ failed</span>' if bad else '<span class="good">✓</span>' if outcome.checked else "–"
        note = f'<br><span class="soft">{text(outcome.note)}</span>' if outcome.note else ""
        body += _row(f"{text(name)}{note}", [f"{outcome.checked:,}", f"{bad:,}"], mark)
    return "<h3>Rules</h3>" + _table(["rule", "checked", "failed", "verdict"], body)


def _histogram(file: FileAudit) -> str:
    """Sequences by tokens; the limit as a dashed line where the axis reaches it."""
    length, bins = file.lengths, file.lengths.bins
    step, highest = _WIDTH / len(bins), max(1, *bins)
    bars = "".join(
        f'<rect class="bar" x="{n * step:.1f}" y="{_HEIGHT - _HEIGHT * count / highest:.1f}" width="{step - 1:.1f}" '
        f'height="{_HEIGHT * count / highest:.1f}"/>'
        for n, count in enumerate(bins)
    )
    limit = ""
    if length.limit < length.longest:
        x = _WIDTH * length.limit / length.longest
        limit = f'<line class="limit" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{_HEIGHT}"/>'
    spread = f"p50 {length.p50:,}, p90 {length.p90:,}, p99 {length.p99:,}, longest {length.longest:,} tokens"
    label = f"{length.sequences:,} sequences by length: {spread}; {length.over:,} above {length.limit:,}"
    return (
        f'<h3>Length in tokens</h3><svg role="img" aria-label="{text(label)}" width="{_WIDTH}" height="{_HEIGHT + 16}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT + 16}">{bars}{limit}<line class="axis" x1="0" x2="{_WIDTH}" y1="{_HEIGHT}" y2="{_HEIGHT}"/>'
        f'<text class="label" x="0" y="{_HEIGHT + 13}">0</text>'
        f'<text class="label" x="{_WIDTH}" y="{_HEIGHT + 13}" text-anchor="end">{length.longest:,}</text></svg>'
        f'<p class="soft">{text(spread)}</p>'
    )


def _unreal(file: FileAudit) -> str:
    if not file.misnamed:
        return ""
    body = "".join(
        _row(f"<u>{text(name.name)}</u>", [f"{name.count:,}"], text(", ".join(name.nearest) or "none is near"), text(name.where))
        for name in file.misnamed
    )
    return f'<div class="scroll"><h3>Unreal names</h3>{_table(["name", "answers", "nearest real names", "first place"], body)}</div>'


def _templates(file: FileAudit) -> str:
    """The share of unreal or absent things each judged sentence asks for; those out of the band, then the most frequent, first."""
    if not file.balances:
        return ""
    judged = [balance for balance in file.balances if balance.band]
    order = sorted(judged, key=lambda balance: (not balance.is_out, -balance.asked))
    body = "".join(
        _row(text(b.template), [f"{b.absent:,} of {b.asked:,}"], _band_bar(b.absent / b.asked, b.band, is_out=b.is_out))
        for b in order[:TEMPLATES]
        if b.band
    )
    others = len(file.balances) - len(order[:TEMPLATES])
    more = f'<p class="soft">and {others:,} more, within their bands or without one</p>' if others else ""
    return f"<h3>Absent things by template</h3>{_table(['template', 'absent', 'share, and the band it must be in'], body)}{more}"


def _ratios(file: FileAudit) -> str:
    if not file.ratios:
        return ""
    least, most = LENGTH_RATIO
    body = "".join(
        _row(text(category), [f"{ratio:.2f}"], _band_bar(ratio / 2, (least / 2, most / 2), is_out=not least <= ratio <= most))
        for category, ratio in file.ratios.items()
    )
    return f"<h3>Length of right to wrong answers</h3>{_table(['category', 'ratio', '0 to 2, and the band'], body)}"


def _coverage(file: FileAudit) -> str:
    body = ""
    for module in file.coverage:
        columns = [f"{module.objects_used:,} of {module.objects:,}", f"{module.columns_used:,} of {module.columns:,}"]
        shares = _stacked(module.columns_taught / max(1, module.columns), module.columns_used / max(1, module.columns))
        body += _row(text(module.module or "no module"), columns, shares)
    heads = ["module", "objects", "columns", f"columns in {ENOUGH} answers (full), in one (pale)"]
    return f"<h3>Coverage by module</h3>{_table(heads, body)}"


def _examples(file: FileAudit) -> str:
    """The first rows that broke each rule, wrong names underlined."""
    shown = ""
    for rule, outcome in file.outcomes.items():
        if outcome.failures:
            rows = "".join(_example(failure) for failure in outcome.failures[:EXAMPLES])
            more = f'<p class="soft">and {len(outcome.failures) - EXAMPLES:,} more</p>' if len(outcome.failures) > EXAMPLES else ""
            shown += f"<details open><summary>{text(rule)}: {len(outcome.failures):,}</summary>{rows}{more}</details>"
    return f"<h3>Offending rows</h3>{shown}" if shown else ""


def _example(failure: Failure) -> str:
    excerpt = f"<pre>{_underlined(failure.excerpt, [unreal.name for unreal in failure.names])}</pre>" if failure.excerpt else ""
    return f"<p>{text(failure)}</p>{excerpt}"


def _underlined(answer: str, names: Iterable[str]) -> str:
    wanted = "|".join(re.escape(name) for name in sorted(set(names), key=len, reverse=True) if name)
    if not wanted:
        return text(answer)
    pieces = re.split(rf"(?<!\w)({wanted})(?!\w)", answer)
    return "".join(f"<u>{text(piece)}</u>" if n % 2 else text(piece) for n, piece in enumerate(pieces))


def _band_bar(share: float, band: tuple[float, float], *, is_out: bool) -> str:
    """A dot on the line from 0 to 1 and the band it must be in; red where the rule says no."""
    least, most = band
    kind = "out" if is_out else "bar"
    x, low, high = (5 + 140 * min(1.0, value) for value in (share, least, most))
    label = f"{share:.0%}, wanted {least:.0%} to {most:.0%}"
    return (
        f'<svg role="img" aria-label="{label}" width="150" height="16" viewBox="0 0 150 16">'
        f'<rect class="band" x="{low:.1f}" y="2" width="{high - low:.1f}" height="12"/>'
        f'<line class="axis" x1="5" x2="145" y1="8" y2="8"/><circle class="{kind}" cx="{x:.1f}" cy="8" r="4"/></svg>'
    )


def _stacked(full: float, pale: float) -> str:
    return (
        f'<svg role="img" aria-label="{full:.0%} in {ENOUGH}, {pale:.0%} in one" width="150" height="14" viewBox="0 0 150 14">'
        f'<rect class="band" x="0" y="2" width="{150 * pale:.1f}" height="10"/>'
        f'<rect class="bar" x="0" y="2" width="{150 * full:.1f}" height="10"/>'
        '<line class="axis" x1="0" x2="150" y1="13" y2="13"/></svg>'
    )


def _table(heads: Sequence[str], body: str) -> str:
    columns = "".join(f'<th scope="col">{text(head)}</th>' for head in heads)
    return f"<table><thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table>"


def _row(head: str, numbers: Sequence[str], *cells: str) -> str:
    """A row of finished HTML."""
    counts = "".join(f'<td class="n">{number}</td>' for number in numbers)
    return f'<tr><th scope="row">{head}</th>{counts}{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'
