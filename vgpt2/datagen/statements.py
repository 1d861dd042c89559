"""What an answer says about names, and whether the catalogue agrees: the ground of the audit's rules.

SQL is judged by the checker, prose by its claims and by looking up every word that can only be an identifier.
"""

from __future__ import annotations

import re
from functools import lru_cache

from vgpt2.datagen.answers import ABSENT, NEAREST
from vgpt2.datagen.names import Names
from vgpt2.sql.checker import check
from vgpt2.sql.extract import Claim, claims, prose, sql_blocks
from vgpt2.sql.findings import Finding

UNREAL = frozenset({"unknown_table", "unknown_column", "unknown_qualifier", "case"})
_IDENTIFIER = re.compile(r"(?<![\w.@#])[A-Za-z_][\w#$]*(?:\.[A-Za-z_][\w#$]*)?")


@lru_cache(maxsize=4096)
def said(answer: str) -> tuple[Claim, ...]:
    return tuple(claims(answer))


def alternatives(answer: str) -> set[str]:
    """Names the answer gives in place of one that is not there."""
    return {claim.name for claim in said(answer) if claim.kind == "use_instead"} | set(NEAREST.findall(prose(answer)))


def denies(answer: str) -> bool:
    """Whether the answer says that a name, or data asked for, is not there."""
    return bool(ABSENT.search(answer)) or any(claim.kind == "not_exists" for claim in said(answer))


def findings(answer: str, names: Names) -> list[Finding]:
    """Errors of the checker in the answer's SQL."""
    return [f for sql in sql_blocks(answer) for f in check(sql, names.catalogue) if f.severity == "error"]


def unreal_names(answer: str, names: Names, words: frozenset[str]) -> list[str]:
    """Names the answer takes for real that are not, in SQL and in prose; `words` are capitalised words that are no names."""
    found = [f.name for sql in sql_blocks(answer) for f in check(sql, names.catalogue) if f.code in UNREAL]
    denied = {claim.name for claim in said(answer) if claim.kind == "not_exists"}
    taken = [claim for claim in said(answer) if claim.kind != "not_exists" and claim.name not in words]
    found += [claim.name for claim in taken if not is_real(claim.name, claim.of, names)]
    found += [name for name in sorted(alternatives(answer)) if not is_real(name, None, names)]
    for word in _IDENTIFIER.findall(prose(answer)):
        is_name = "." in word or "_" in word or sum(c.isupper() for c in word) > 1
        if is_name and word not in denied and word not in words and not is_real(word, None, names):
            found.append(word)
    return list(dict.fromkeys(found))


def denied_reals(answer: str, names: Names) -> list[str]:
    """Real names that the answer says do not exist."""
    return [claim.name for claim in said(answer) if claim.kind == "not_exists" and is_real(claim.name, claim.of, names)]


def is_real(name: str, of: str | None, names: Names) -> bool:
    """Whether an object or a column is real, in exact case; of columns of known objects outside the catalogue nothing is known: True."""
    table, _, column = name.rpartition(".")
    table = table or (of or "")
    if table in ("", "dbo"):
        return names.is_object(column) or names.is_column(column)
    found = names.catalogue.get(table)
    if found is None:
        view = names.view_of(table)
        found = names.catalogue.get(view) if view else None
    if found is None:
        return names.is_object(table)
    return found.has(column)
