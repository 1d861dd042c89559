"""SQL texts inside a model's answer: fenced, tagged, inline or bare, whole or cut off. Claims about names live in `claims`.

sql_blocks("Use this:\\n```sql\\nSELECT 1\\n```")    # ['SELECT 1']
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from vgpt2.sql.claims import Claim, claims

__all__ = ["Claim", "claims", "prose", "sql_blocks"]

_FENCE = re.compile(
    r"^[ \t>]*(?P<mark>`{3,}|~{3,})[ \t]*(?P<language>[\w+#.-]*)[^\n]*\n(?P<body>.*?)(?:^[ \t>]*(?P=mark)[`~]*[ \t]*$|\Z)",
    re.DOTALL | re.MULTILINE,
)
_TAGGED = re.compile(r"<(?P<tag>sql|query|tsql)>(?P<body>.*?)(?:</(?P=tag)>|\Z)", re.DOTALL | re.IGNORECASE)
_INLINE = re.compile(r"(?<!`)`(?P<body>[^`\n]+)`(?!`)")
_SQL_LANGUAGES = {"sql", "tsql", "t-sql", "mssql", "sqlserver", "transact-sql", "plsql", "mysql", "postgresql", "sqlite"}
_ANY_LANGUAGE = {"", "text", "txt", "plaintext", "code", "output"}
_STATEMENT = re.compile(
    r"""\s*(?:--[^\n]*\n\s*|/\*.*?\*/\s*|\(\s*|;\s*)*(?:
        (?-i:SELECT|select)\b
      | Select\s+(?:TOP|DISTINCT|COUNT|SUM|\*|[\w.\[\]]+\s*,|[\w\[\]]+\.)
      | WITH\s+(?:\w+|\[[^\]]+\])\s*(?:\([^)]*\)\s*)?AS\s*\(
      | DECLARE\s+@
      | INSERT\s+INTO\b | INSERT\s+[\w.\[\]\#@]+\s*\(
      | UPDATE\s+[\w.\[\]\#@]+\s+SET\b
      | DELETE\s+(?:FROM\s+)?[\w.\[\]\#@]+\s*(?:WHERE\b|FROM\b|;|$)
      | MERGE\s+(?:INTO\s+)?[\w.\[\]\#@]+\s+(?:AS|USING|WITH|\w+\s+USING)\b
      | CREATE\s+(?:OR\s+ALTER\s+)?(?:TABLE|VIEW|PROC|PROCEDURE|FUNCTION|INDEX)\b
      | ALTER\s+(?:TABLE|VIEW|PROC|PROCEDURE|FUNCTION)\b
      | DROP\s+(?:TABLE|VIEW)\b | TRUNCATE\s+TABLE\b
      | EXEC(?:UTE)?\s+[\w.\[\]]+
      | SET\s+(?:@|NOCOUNT|TRANSACTION)
      | IF\s+(?:NOT\s+)?(?:EXISTS|OBJECT_ID)\s*\(
      | USE\s+\[?\w+\]?\s*;?\s*$
    )""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_SELECT_IN_ENGLISH = re.compile(
    r"\s*select\s+(?:the|a|an|your|this|that|which|each|from|any|one|only|it|them|those|these|statements?|quer\w+)\b", re.IGNORECASE
)
_CONTINUES = re.compile(
    r"\s*(?:FROM|WHERE|AND|OR|ON|INNER|LEFT|RIGHT|FULL|CROSS|OUTER|JOIN|GROUP|ORDER|HAVING|UNION|EXCEPT|INTERSECT|CASE|WHEN|THEN|ELSE|END|"
    r"OPTION|FOR|VALUES|SET|GO|BEGIN|AS|IN|OVER|PIVOT|UNPIVOT|INTO|OFFSET|FETCH|OUTPUT|RETURN|PRINT)\b"
    r"|\s*[,()\[;@#'=+*/<>-]|\s*[\w\]]+\.[\w\[]"
)
_PROSE = re.compile(
    r"\s*(?:[-*>#]\s+|\d+[.)]\s+)?(?:\*\*)?[A-Z][a-z']*(?:[ ,]+[a-z][a-z'-]*){2,}"
    r"|\s*(?:Note|Notes|Explanation|Plan|Answer|Result)\b\s*:?|\s*#{1,6}\s"
)


def sql_blocks(answer: str) -> list[str]:
    """SQL texts of the answer in their order, without fences and the prose around; the last one may be cut off. Empty if there is none."""
    found = []
    rest = answer.replace("\r\n", "\n")
    for pattern in (_FENCE, _TAGGED):
        for match in pattern.finditer(rest):
            body = _unquoted(match)
            if body.strip() and _is_sql(body, (match.groupdict().get("language") or "").lower()):
                found.append((match.start(), body.strip()))
        rest = pattern.sub(_blank, rest)
    for match in _INLINE.finditer(rest):
        if _starts_sql(match["body"]) and re.search(r"\bfrom\b|\bset\b|=", match["body"], re.IGNORECASE):
            found.append((match.start(), match["body"].strip()))
    rest = _INLINE.sub(_blank, rest)
    found += _bare_blocks(rest)
    return [sql for _, sql in sorted(found)]


def prose(answer: str) -> str:
    """The answer without its fenced and tagged blocks."""
    return _TAGGED.sub("\n", _FENCE.sub("\n", answer))


def _is_sql(body: str, language: str) -> bool:
    return language in _SQL_LANGUAGES or (language in _ANY_LANGUAGE and _starts_sql(body))


def _starts_sql(text: str) -> bool:
    return bool(_STATEMENT.match(text)) and not _SELECT_IN_ENGLISH.match(text)


def _unquoted(match: re.Match[str]) -> str:
    """The body of a fence; inside a block quote, without the '>' of each line."""
    body = match["body"]
    return re.sub(r"^[ \t]*> ?", "", body, flags=re.MULTILINE) if match.group().lstrip(" \t").startswith(">") else body


def _blank(match: re.Match[str]) -> str:
    """Line breaks in place of a block, so that what stands before it never runs into what stands behind."""
    return re.sub(r"[^\n]", " ", match.group()) if "\n" in match.group() else " " * len(match.group())


def _bare_blocks(text: str) -> Iterator[tuple[int, str]]:
    """(offset, SQL) of statements that stand in the prose on lines of their own, or behind a colon."""
    block: list[str] = []
    start = pos = 0
    for line in [*text.splitlines(keepends=True), None]:
        if block and line is not None and _goes_on(block, line):
            block.append(line)
        else:
            sql = "".join(block).strip()
            if _starts_sql(sql):
                yield start, sql
            opening = _opening(line) if line else None
            block = [line[opening:]] if line and opening is not None else []
            start = pos + (opening or 0)
        pos += len(line or "")


def _opening(line: str) -> int | None:
    """The column where SQL may begin on a line of prose: at its start, with a comment above the statement, or behind 'Query:'."""
    if _starts_sql(line) or re.match(r"\s*--\s", line):
        return 0
    label = re.match(r"[^:]{0,60}:\s+(?=select|with|declare|insert|update|delete)", line, re.IGNORECASE)
    return label.end() if label and _starts_sql(line[label.end() :]) else None


def _goes_on(block: list[str], line: str) -> bool:
    """Whether `line` belongs to the bare SQL gathered so far."""
    if not line.strip():
        return True
    so_far = "".join(block)
    if so_far.rstrip().endswith(";"):
        return _starts_sql(line)
    if _CONTINUES.match(line):
        return True
    inside = so_far.count("(") > so_far.count(")")
    return not _PROSE.match(line) and (inside or bool(block[-1].strip()) or _starts_sql(line))
