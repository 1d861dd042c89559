"""The rule of the project: above 80 % expand, merge, deploy; else the failures by theme and the data to add."""

from __future__ import annotations

from collections.abc import Sequence

from eval import intervals
from eval.failures import REMEDIES, counted
from eval.judged import Judged
from eval.scores import OVERALL_WANT, SHOWN_ONLY

MOST_THEMES = 8


def decision(judged: Sequence[Judged]) -> str:
    """One clause: whether the rule is met, with share and interval. Questions that nobody can be held to do not count."""
    counted_ones = [a for a in judged if a.group not in SHOWN_ONLY]
    right, n = sum(a.right for a in counted_ones), len(counted_ones)
    low, high = intervals.wilson(right, n)
    share = right / n if n else 0.0
    digits = 1 if share != OVERALL_WANT and round(100 * share) == round(100 * OVERALL_WANT) else 0  # 80.5 % is more than 80 %
    said = f"{100 * share:.{digits}f} % [{100 * low:.0f}-{100 * high:.0f}]"
    if share > OVERALL_WANT:
        return f"deploy rule met: {said} > {100 * OVERALL_WANT:.0f} %"
    return f"deploy rule not met: {said}, more than {100 * OVERALL_WANT:.0f} % is wanted"


def is_met(judged: Sequence[Judged]) -> bool:
    return decision(judged).startswith("deploy rule met")


def advice(judged: Sequence[Judged]) -> list[tuple[int, str, str]]:
    """(failures, theme, data to add), the commonest theme first."""
    wrong = [a.theme for a in judged if not a.right and a.group not in SHOWN_ONLY]
    return [(n, theme, REMEDIES[theme]) for theme, n in counted(wrong)]


def conclusion(judged: Sequence[Judged]) -> str:
    """What to do, in lines for the terminal."""
    if is_met(judged):
        return f"{decision(judged)}: expand the suites, merge with python -m vgpt2.export, deploy"
    lines = [f"{decision(judged)}; wrong answers by theme, and the data to add:"]
    found = advice(judged)
    width = max((len(theme) for _, theme, _ in found), default=0)
    lines += [f"  {n:4}  {theme.ljust(width)}  {remedy}" for n, theme, remedy in found[:MOST_THEMES]]
    if len(found) > MOST_THEMES:
        lines.append(f"        and {sum(n for n, _, _ in found[MOST_THEMES:])} of {len(found) - MOST_THEMES} more themes: report.html")
    return "\n".join(lines)
