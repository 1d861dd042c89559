"""Pieces of HTML for the report: text that cannot become markup, tables, answers with their findings underlined."""

import re
from collections.abc import Sequence
from html import escape
from typing import Any

from eval.judged import Judged

_WORD = re.compile(r"\[[^\]\n]{0,200}\]|[\w.#@$]{1,200}|\S")
# what browsers may not show at all, and what reverses the direction of the text around it
UNSHOWABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def text(value: object) -> str:
    """`value` as text of the page: every character that could be markup, and every one that could hide some, is replaced."""
    return escape(UNSHOWABLE.sub("\ufffd", str(value)))


def framed(heads: Sequence[str], body: str) -> str:
    """A table with a row of headings above `body`."""
    columns = "".join(f'<th scope="col">{text(head)}</th>' for head in heads)
    return f"<table><thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table>"


def row(head: str, cells: Sequence[object]) -> str:
    """A row of a table whose cells are texts."""
    return f'<tr><th scope="row">{text(head)}</th>{"".join(f"<td>{text(cell)}</td>" for cell in cells)}</tr>'


def section(title: str, content: str) -> str:
    return f'<section class="scroll"><h2>{text(title)}</h2>{content}</section>'


def percent(share: float) -> str:
    return f"{round(100 * share)} %"


def marked(answer: Judged, limit: int) -> str:
    """The answer's text, at most `limit` characters, with every finding's place underlined."""
    said = answer.answer
    found = {span for finding in answer.findings if (span := _span(said, finding)) and span[1] <= limit}
    spans = sorted(found, key=lambda span: (span[0], -span[1]))  # of those that begin together the longest
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
    name = str(finding["name"])
    if answer.startswith(name, start) and not (name[-1:].isalnum() and answer[start + len(name) :][:1].isalnum()):
        return start, start + len(name)
    word = _WORD.match(answer, start)  # the finding names another thing than stands there: an alias, a key
    return (start, word.end()) if word else None
