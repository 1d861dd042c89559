"""Ways to break the syntax of a valid T-SQL text in one place. Each gives a text that SQL Server refuses, or None where it does not apply.

The breaks work on a plain split into words and signs, not on the checker's own lexer.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

Break = Callable[[random.Random, str], str | None]
_PIECE = re.compile(
    r"--[^\n]*|/\*(?:[^*/]|\*(?!/)|/(?!\*)|/\*.*?\*/)*\*/|N?'(?:[^']|'')*'|\[[^\]]*\]|\"[^\"]*\"|[@#]*\w[\w@#$]*|\s+|.", re.DOTALL
)


def pieces(sql: str) -> list[str]:
    return _PIECE.findall(sql)


def _solid(parts: list[str]) -> list[int]:
    return [i for i, part in enumerate(parts) if part.strip() and not part.startswith(("--", "/*"))]


def _replace_one(rng: random.Random, sql: str, match: Callable[[list[str], int], bool], new: Callable[[str], str]) -> str | None:
    parts = pieces(sql)
    places = [i for i in _solid(parts) if match(parts, i)]
    if not places:
        return None
    i = rng.choice(places)
    parts[i] = new(parts[i])
    return "".join(parts)


def drop_sign(sign: str) -> Break:
    def broken(rng: random.Random, sql: str) -> str | None:
        return _replace_one(rng, sql, lambda p, i: p[i] == sign, lambda _: " ")

    return broken


def drop_word(word: str) -> Break:
    def broken(rng: random.Random, sql: str) -> str | None:
        return _replace_one(rng, sql, lambda p, i: p[i].upper() == word, lambda _: "")

    return broken


def double(sign: str) -> Break:
    def broken(rng: random.Random, sql: str) -> str | None:
        return _replace_one(rng, sql, lambda p, i: p[i] == sign, lambda _: f"{sign} {sign}")

    return broken


def drop_comma(rng: random.Random, sql: str) -> str | None:
    """Between two qualified names: elsewhere what is left may be an alias."""
    found = [m.start(1) for m in re.finditer(r"\w\.\w+(,)\s*\w+\.\w", sql)]
    if not found:
        return None
    i = rng.choice(found)
    return sql[:i] + " " + sql[i + 1 :]


def drop_operand(rng: random.Random, sql: str) -> str | None:
    """The right side of a comparison."""
    found = list(re.finditer(r" (=|<>|>=|<=|LIKE) (@\w+|\d+|\w+\.\w+|'[^']*')(?=\s*(?:AND|OR|\)|\n|$))", sql))
    if not found:
        return None
    m = rng.choice(found)
    return sql[: m.start(2)] + sql[m.end(2) :]


def drop_operator(rng: random.Random, sql: str) -> str | None:
    found = list(re.finditer(r"\w (=|<>|>=|<=) [@\w']", sql))
    found = [
        m for m in found if not sql[: m.start() + 1].rstrip().endswith(("Col", "b")) and re.search(r"\.\w+$", sql[: m.start(1)].rstrip())
    ]
    if not found:
        return None
    m = rng.choice(found)
    return sql[: m.start(1)] + sql[m.end(1) :]


def move_where(rng: random.Random, sql: str) -> str | None:
    """WHERE behind ORDER BY or GROUP BY."""
    m = re.search(r"\nWHERE (.*?)\n((?:GROUP|ORDER) BY [^\n]*)$", sql, re.DOTALL)
    return sql[: m.start()] + "\n" + m[2] + "\nWHERE " + m[1] if m else None


def from_first(rng: random.Random, sql: str) -> str | None:
    m = re.match(r"SELECT (.*?)\nFROM (.*)$", sql, re.DOTALL)
    return f"FROM {m[2]} SELECT {m[1]}" if m else None


def append(text: str) -> Break:
    return lambda rng, sql: sql.rstrip().rstrip(";") + text


def substitute(pattern: str, new: str) -> Break:
    def broken(rng: random.Random, sql: str) -> str | None:
        found = list(re.finditer(pattern, sql))
        if not found:
            return None
        m = rng.choice(found)
        return sql[: m.start()] + m.expand(new) + sql[m.end() :]

    return broken


_COLUMN = r"(?<![\w.\]])(\w+\.\w+)(?=,|\nFROM)"
BREAKS: dict[str, Break] = {
    "dropped (": drop_sign("("),
    "dropped )": drop_sign(")"),
    "dropped comma": drop_comma,
    "doubled comma": double(","),
    "comma before FROM": substitute(r"\nFROM ", r",\nFROM "),
    "dropped SELECT": drop_word("SELECT"),
    "dropped FROM": drop_word("FROM"),
    "dropped BY": drop_word("BY"),
    "dropped ON": drop_word("ON"),
    "dropped JOIN": drop_word("JOIN"),
    "dropped THEN": drop_word("THEN"),
    "dropped WHEN": drop_word("WHEN"),
    "dropped END": drop_word("END"),
    "dropped AND": drop_word("AND"),
    "dropped IN": drop_word("IN"),
    "dropped operand": drop_operand,
    "dropped operator": drop_operator,
    "WHERE behind GROUP BY or ORDER BY": move_where,
    "FROM before SELECT": from_first,
    "LIMIT": append(" LIMIT 10"),
    "FETCH FIRST": append("\nFETCH FIRST 10 ROWS ONLY"),
    "backticks": substitute(_COLUMN, r"`\1`"),
    "ILIKE": substitute(r"\bLIKE\b", "ILIKE"),
    "::": substitute(_COLUMN, r"\1::int"),
    "||": substitute(_COLUMN, r"\1 || 'x'"),
    "EXTRACT": substitute(_COLUMN, r"EXTRACT(YEAR FROM \1)"),
    "DATE literal": substitute(r"\nWHERE ", r"\nWHERE GETDATE() > DATE '2024-01-31' AND "),
    "INTERVAL": substitute(r"\nWHERE ", r"\nWHERE GETDATE() > GETDATE() - INTERVAL '1 day' AND "),
    "comparison in the select list": substitute(_COLUMN, r"\1 > 1"),
    "IS NULL in the select list": substitute(_COLUMN, r"\1 IS NULL"),
    "value as a condition": substitute(r"\nWHERE ", r"\nWHERE 1 AND "),
    "NULLS LAST": append("\nORDER BY 1 NULLS LAST"),
    "JOIN without ON": substitute(r"\n((?:INNER |LEFT |LEFT OUTER )?JOIN \S+(?: WITH \(NOLOCK\))?) ON [^\n]*", r"\n\1"),
    "USING": substitute(r" ON \w+\.(\w+) = [^\n]*", r" USING (\1)"),
    "==": substitute(r" = (?=@)", " == "),
    "DISTINCT ON": substitute(r"SELECT (?=\w+\.)", "SELECT DISTINCT ON (1) "),
    "CASE without END": substitute(_COLUMN, r"CASE WHEN \1 = 1 THEN 2"),
    "IF()": substitute(_COLUMN, r"IF(\1 = 1, 2, 3)"),
    "unclosed string": append(" OPTION (LABEL = 'x"),
    "unclosed comment": append(" /* end"),
    "reserved word as a name": substitute(_COLUMN, r"\1 AS Order"),
}
