"""How sure a model was of the names it wrote: the log-probability of the tokens that touch a name in the SQL of an answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from vgpt2.sql.extract import sql_blocks
from vgpt2.sql.lexer import QUOTED, WORD, tokenize
from vgpt2.sql.parser.words import DATEPARTS, RESERVED, TABLE_HINTS

NOT_NAMES = RESERVED | TABLE_HINTS | DATEPARTS


def identifier_logp(answer: str, pieces: Sequence[tuple[str, float]]) -> float | None:
    """Nats of the pieces (text, logp) of an answer that touch a name in its SQL; None without a name, or where the pieces do not fit."""
    if "".join(text for text, _ in pieces) != answer:
        return None
    spans = list(names(answer))
    total, start = 0.0, 0
    for text, logp in pieces:
        end = start + len(text)
        if any(first < end and start < last for first, last in spans):
            total += logp
        start = end
    return total if spans else None


def names(answer: str) -> Iterator[tuple[int, int]]:
    """(start, end) of every name in the SQL of the answer: no keyword, hint, datepart or function."""
    behind = 0
    for sql in sql_blocks(answer):
        start = answer.find(sql, behind)
        if start < 0:  # a quoted block or other line ends: its text is not the answer's
            continue
        behind = start + len(sql)
        tokens = tokenize(sql)
        for token, after in pairwise(tokens):
            if token.kind is QUOTED or (token.kind is WORD and token.key not in NOT_NAMES and after.key != "("):
                yield start + token.pos, start + token.pos + len(token.text)
