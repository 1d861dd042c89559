"""SQL texts inside a model's answer: fenced, tagged, inline or bare, whole or cut off. Claims about names live in `claims`.

sql_blocks("Use this:\\n```sql\\nSELECT 1\\n```")    # ['SELECT 1']
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from vgpt2.sql.claims import Claim, claims
from vgpt2.sql.fences import Block, blocks, outside, prose

__all__ = ["Claim", "claims", "prose", "sql_blocks"]

_INLINE = re.compile(r"(?<!`)`(?P<body>[^`\n]+)`(?!`)")
_SQL_LANGUAGES = {"sql", "tsql", "t-sql", "mssql", "sqlserver", "transact-sql", "plsql", "mysql", "postgresql", "sqlite"}
_OPENING = re.compile(r"[ \t>]*(?:`{3,}|~{3,})[ \t]*([\w+#.-]*)|<(?:sql|query|tsql)>", re.IGNORECASE)
_CLOSED = re.compile(r"(?:^[ \t>]*(?:`{3,}|~{3,})|</(?:sql|query|tsql)>)[ \t]*\n?\Z", re.IGNORECASE | re.MULTILINE)
_ANY_LANGUAGE = {"", "text", "txt", "plaintext", "code", "output"}
_STATEMENT = re.compile(
    r"""\s*(?:--[^\n]*\n\s*|/\*.*?\*/\s*|\(\s*|;\s*)*(?:
        (?-i:SELECT|select)\b
      | Select\s+(?:TOP|DISTINCT|COUNT|SUM|\*|[\w.\[\]]+\s*,|[\w\[\]]+\.)
      | WITH\s+(?:\w+|\[[^\]]+\])\s*(?:\([^)]*\)\s*)?AS\s*\(
      | DECLARE\s+@
      | (?-i:INSERT|insert)\s+INTO\b | INSERT\s+(?:INTO\s+)?[\w.\[\]\#@]+\s*(?:\(|VALUES\b|SELECT\b)
      | UPDATE\s+[\w.\[\]\#@]+\s+SET\b
      | DELETE\s+(?:FROM\s+)?[\w.\[\]\#@]+\s*(?:WHERE\b|FROM\b|;)
      | (?-i:DELETE|delete)\s+(?:FROM\s+)?[\w.\[\]\#@]+\s*$
      | MERGE\s+(?:INTO\s+)?[\w.\[\]\#@]+\s+(?:AS\b|USING\b|WITH\s*\(|\w+\s+USING\b)
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
    text = answer.replace("\r\n", "\n")
    marked = blocks(text)
    found = [(block.start, block.body.strip()) for block in marked if block.body.strip() and _is_sql(block)]
    rest = outside(text, marked)
    for match in _INLINE.finditer(rest):
        if _starts_sql(match["body"]) and re.search(r"\bfrom\b|\bset\b|=", match["body"], re.IGNORECASE):
            found.append((match.start(), match["body"].strip()))
    found += _bare_blocks(_INLINE.sub(lambda match: " " * len(match.group()), rest))
    return [sql for _, sql in sorted(found)]


def open_sql(answer: str) -> int | None:
    """Offset at which the SQL begins that an unfinished answer ends in; None where it ends in prose or behind a block."""
    marked = blocks(answer)
    if marked and marked[-1].end == len(answer):
        return _open_block(answer, marked[-1])
    rest = outside(answer, marked)
    line = rest.rfind("\n") + 1
    tick = rest.rfind("`", line) + 1
    if rest.count("`", line) % 2 and _starts_sql(rest[tick:]):
        return tick
    found = list(_bare_blocks(rest))
    return found[-1][0] if found and rest[found[-1][0] :].strip() == found[-1][1] else None


def is_sure(answer: str, start: int) -> bool:
    """Whether the SQL at `start` is a block of a language that is SQL: then it goes on until a mark comes, whatever it says."""
    opening = _OPENING.fullmatch(answer, answer.rfind("\n", 0, start - 1) + 1, start - 1) if answer[start - 1 : start] == "\n" else None
    return opening is not None and (opening[1] or "").lower() in _SQL_LANGUAGES


def _open_block(answer: str, block: Block) -> int | None:
    """The offset of the SQL in a block that has no end yet; what stands behind its opening mark may become a block of one line."""
    opening = _OPENING.match(answer, block.start)
    if opening is None or _CLOSED.search(answer, opening.end()):
        return None
    line_end = answer.find("\n", opening.end())
    is_tag = opening[1] is None  # its SQL may begin on its line
    start = opening.end() if line_end < 0 or is_tag else line_end + 1
    language = "sql" if is_tag else opening[1].lower()
    is_sql = language in _SQL_LANGUAGES or (language in _ANY_LANGUAGE and _starts_sql(answer[start:]))
    return start if is_sql else None


def _is_sql(block: Block) -> bool:
    return block.language in _SQL_LANGUAGES or (block.language in _ANY_LANGUAGE and _starts_sql(block.body))


def _starts_sql(text: str) -> bool:
    return bool(_STATEMENT.match(text)) and not _SELECT_IN_ENGLISH.match(text)


def _bare_blocks(text: str) -> Iterator[tuple[int, str]]:
    """(offset, SQL) of statements that stand in the prose on lines of their own, or behind a colon."""
    block: list[str] = []
    start = pos = depth = 0
    for line in [*text.splitlines(keepends=True), None]:
        if block and line is not None and _goes_on(block[-1], depth, line):
            block.append(line)
        else:
            sql = "".join(block).strip()
            if _starts_sql(sql):
                yield start, sql
            opening = _opening(line) if line else None
            block = [line[opening:]] if line and opening is not None else []
            start, depth = pos + (opening or 0), 0
        depth += block[-1].count("(") - block[-1].count(")") if block else 0
        pos += len(line or "")


def _opening(line: str) -> int | None:
    """The column where SQL may begin on a line of prose: at its start, with a comment above the statement, or behind 'Query:'."""
    if _starts_sql(line) or re.match(r"\s*--\s", line):
        return 0
    label = re.match(r"[^:]{0,60}:\s+(?=select|with|declare|insert|update|delete)", line, re.IGNORECASE)
    return label.end() if label and _starts_sql(line[label.end() :]) else None


def _goes_on(last: str, depth: int, line: str) -> bool:
    """Whether `line` belongs to the bare SQL that ends in the line `last`, with `depth` parentheses open."""
    if not line.strip():
        return not last.rstrip().endswith(";") or _starts_sql(line)
    if last.rstrip().endswith(";"):
        return _starts_sql(line)
    if _CONTINUES.match(line):
        return True
    return not _PROSE.match(line) and (depth > 0 or bool(last.strip()) or _starts_sql(line))
