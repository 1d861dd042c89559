"""Findings on a T-SQL text against a catalogue: syntax, unknown tables and columns in scope, house rules."""

from __future__ import annotations

from vgpt2.sql.catalogue import Catalogue
from vgpt2.sql.findings import Finding
from vgpt2.sql.lexer import BROKEN, END, QUOTED, WORD, Places, Token, tokenize

MAX_CHARACTERS = 100_000
_AFTER_TABLE = {"WHERE", "ON", "INNER", "LEFT", "RIGHT", "FULL", "CROSS", "OUTER", "JOIN", "GROUP", "ORDER", "HAVING", "UNION", "WITH", "FOR", "OPTION", "EXCEPT", "INTERSECT", "SELECT"}


def check(sql: str, catalogue: Catalogue) -> list[Finding]:
    """Findings in the order of their places; never raises on any text."""
    if len(sql) > MAX_CHARACTERS:
        return [Finding("too_complex", "warning", "", 1, 1, f"the text is longer than {MAX_CHARACTERS} characters")]
    places = Places(sql)
    tokens = tokenize(sql)
    findings: list[Finding] = []

    def add(code: str, token: Token, message: str, suggestion: str | None = None) -> None:
        findings.append(Finding(code, "error", token.name, *places(token.pos), message, suggestion))

    depth = 0
    for t in tokens:
        depth += {"(": 1, ")": -1}.get(t.key, 0)
        if t.kind is BROKEN or depth < 0:
            add("syntax", t, f"unexpected '{t.text[:20]}'")
            return findings
    if depth:
        add("syntax", tokens[-1], "a parenthesis is not closed")
        return findings
    ctes = {tokens[i].name for i in range(len(tokens) - 1) if tokens[i].kind in (WORD, QUOTED) and tokens[i + 1].key in ("AS", "(")}
    exposed: dict[str, str | None] = {}
    for i, t in enumerate(tokens):
        if t.key not in ("FROM", "JOIN") and not (t.key == "," and False):
            continue
        j = i + 1
        while tokens[j + 1].key == "." and tokens[j + 2].kind in (WORD, QUOTED):
            j += 2
        table = tokens[j]
        if table.kind not in (WORD, QUOTED) or tokens[j + 1].key == "(" and tokens[j + 2].key not in ("NOLOCK", "READUNCOMMITTED"):
            continue
        name = table.name
        known = catalogue.get(name)
        if known is None:
            exposed[name] = None
            if not name.startswith("#") and name not in ctes:
                near = catalogue.ignoring_case(name)
                suggestion = near.name if near else next(iter(catalogue.nearest(name, 1)), None)
                add("case" if near else "unknown_table", table, f"there is no table or view '{name}'", suggestion)
        else:
            exposed[name] = name
        k = j + 1
        hinted = False
        while tokens[k].kind is not END and tokens[k].key not in (_AFTER_TABLE - {"WITH"}) and tokens[k].key not in (")", ",", ";"):
            if tokens[k].key in ("NOLOCK", "READUNCOMMITTED"):
                hinted = True
            elif tokens[k].key == "(":
                while tokens[k].key != ")":
                    hinted |= tokens[k].key in ("NOLOCK", "READUNCOMMITTED")
                    k += 1
            elif tokens[k].kind in (WORD, QUOTED) and tokens[k].key not in ("AS", "WITH"):
                exposed[tokens[k].name] = name if known else None
            k += 1
        if known and not hinted:
            add("missing_nolock", table, f"'{name}' is read without WITH (NOLOCK)", f"{name} WITH (NOLOCK)")
    for i in range(1, len(tokens) - 1):
        q, dot, c = tokens[i - 1], tokens[i], tokens[i + 1]
        if dot.key == "." and q.kind in (WORD, QUOTED) and c.kind in (WORD, QUOTED) and tokens[i + 2 if i + 2 < len(tokens) else i].key not in ("(", "."):
            o = catalogue.get(exposed.get(q.name) or "")
            if o and not o.has(c.name):
                add("unknown_column", c, f"'{o.name}' has no column '{c.name}'")
    return sorted(findings, key=lambda f: (f.line, f.column))
