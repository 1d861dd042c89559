"""Reads an SQL text token by token: whether a name is real where it stands, and what must come next."""

from __future__ import annotations

import copy
import re

from vgpt2.sql.binding.queries import FUNCTION_COLUMNS
from vgpt2.sql.cursor.names import FREE, SYSTEM_SCHEMAS, UNTOLD, Columns, NameSet, Schema, is_bare
from vgpt2.sql.cursor.scopes import CHANGES_ROWS, Frame, Scopes
from vgpt2.sql.lexer import QUOTED, VARIABLE, WORD, Token
from vgpt2.sql.parser.words import RESERVED

VERBS = frozenset(("SELECT", "INSERT", "UPDATE", "DELETE", "MERGE"))
BEHIND_VERB = {"INSERT": ("INTO", "into"), "UPDATE": (), "DELETE": ("FROM", "from"), "MERGE": ("INTO", "into")}
BEHIND_PARENTHESIS = ("SELECT", "select", "VALUES", "values")
NO_ALIAS = RESERVED | {"USING", "OUTPUT"}
SET_OPERATORS = frozenset(("UNION", "EXCEPT", "INTERSECT"))
ENDS_FROM = SET_OPERATORS | {"WHERE", "GROUP", "HAVING", "ORDER", "OPTION", "FOR", "SET", "VALUES", "WHEN", "OUTPUT"}
# bounds and look-behinds keep it linear on any text
_CTE_HEAD = re.compile(
    r"(?:\[([^\[\]]{1,128})\]|(?<![\w@#$])([\w@#$]{1,128}))\s{0,64}(?:\([^()]{0,4096}\)\s{0,64})?AS\s{0,64}\Z", re.IGNORECASE
)


class Reader:
    """`expects` is what must come next, '' where that is open; `names` what a name there must be."""

    def __init__(self, schema: Schema) -> None:
        self.expects = ""
        self.names: NameSet | None = None
        self.scopes = Scopes(schema)
        self._schema = schema
        self._text = ""
        self._end = 0  # offset behind the last token
        self._last: Token | None = None
        self._in_schema = ""
        self._changed = False
        self._qualifier = ""

    def copy(self) -> Reader:
        other = copy.copy(self)
        other.scopes = self.scopes.copy()
        return other

    @property
    def takes_names(self) -> bool:
        """Whether a name of the catalogue must come, or the sign that its last part asks for."""
        return self.names is not None or self.expects in ("dot", "parenthesis")

    def take(self, token: Token, text: str) -> bool:
        """One whole token of `text`; False where it is a name that does not exist."""
        self._text = text
        expects, self.expects, self.names = self.expects, "", None
        is_name = token.kind is QUOTED or (token.kind is WORD and not token.key.startswith(("#", "@")))
        if expects == "dot":
            ok = token.key == "." and self._expect_table_of(self._in_schema)
        elif expects == "parenthesis":
            ok = token.key == "(" and self._open(token)
        elif expects == "table":
            ok = self._table(token, is_name)
        elif expects == "system table" and is_name:
            ok = self._name_source(token.name, FREE)
        elif expects == "column":
            ok = self._column(token, is_name)
        elif expects in ("alias", "into") and (is_name or token.kind is WORD):
            ok = self.scopes.innermost.give_alias(token.name) if expects == "alias" else True  # INTO makes a table of any name
        else:
            ok = self._other(token, is_name)
        self._last, self._end = token, token.pos + len(token.text)
        return ok

    def _expect_table(self, words: tuple[str, ...] = (), *, changed: bool = False) -> bool:
        """A table comes next, or one of the words that may stand before it; one that is `changed` is no function."""
        self.expects, self._changed = "table", changed
        ctes = self.scopes.ctes
        key = " ".join(["changed" if changed else "tables", *words, *sorted(ctes)])
        self.names = self._schema.name_set(key, lambda: self._schema.in_table_position(changed=changed) | ctes.keys(), words)
        return True

    def _expect_table_of(self, schema: str) -> bool:
        if schema in SYSTEM_SCHEMAS:
            self.expects = "system table"
        else:
            self.expects = "table"
            self.names = self._schema.name_set(f"schema {schema}", lambda: self._schema.schemas[schema])
        return True

    def _table(self, token: Token, is_name: bool) -> bool:
        frame = self.scopes.innermost
        if token.key == "(":
            return self._open(token, "source")
        if token.text in BEHIND_PARENTHESIS and frame.kind == "source" and self._last and self._last.key == "(":
            frame.verb = token.key
            return self._keyword(token)
        if self._last and token.text in BEHIND_VERB.get(self._last.key, ()):
            return self._expect_table(changed=True)
        if token.kind is VARIABLE or token.text.startswith("#"):
            return self._name_source(token.name, UNTOLD)
        if not is_name:
            return token.key in (")", ";") and self._other(token, is_name)
        behind_schema = self._last is not None and self._last.key == "."
        return (token.kind is QUOTED or is_bare(token.text)) and self._named_table(token.name, self._in_schema if behind_schema else "")

    def _named_table(self, name: str, schema: str) -> bool:
        if schema:
            return name in self._schema.schemas[schema] and self._name_source(name, self._schema.columns(name))
        if name in self.scopes.ctes:
            return self._name_source(name, self.scopes.ctes[name])
        if name in self._schema.tables:
            return self._name_source(name, self._schema.columns(name))
        if name in self._schema.schemas or name in SYSTEM_SCHEMAS:
            self.expects, self._in_schema = "dot", name
            return True
        if name in FUNCTION_COLUMNS and not self._changed:
            self.expects = "parenthesis"
            return self._name_source(name, self._schema.function_columns(name))
        return False

    def _name_source(self, name: str, columns: Columns) -> bool:
        """A source behind which an alias may follow."""
        self.scopes.innermost.unnamed = name, columns
        return True

    def _column(self, token: Token, is_name: bool) -> bool:
        known = self.scopes.resolve(self._qualifier)
        if not is_name:
            return token.key == "*" or (known.names is None and self._other(token, is_name))
        if known.names is not None and not (token.name in known.names and (token.kind is QUOTED or is_bare(token.text))):
            return False
        self.scopes.ask(self._qualifier, token.name)
        return True

    def _other(self, token: Token, is_name: bool) -> bool:
        """A token where no name of the catalogue is expected."""
        frame, key = self.scopes.innermost, token.key
        if key == ".":
            return frame.unnamed is None and self._dot()  # behind a table's name a dot would make it a schema
        if key == "(":
            return self._open(token)
        if key == ")":
            return self._close(token)
        if key == ";" or token.kind == "go":
            return self._end_statement(frame, token)
        if frame.unnamed is not None and key in ("AS", "WITH"):  # an alias may stand behind the hints, too
            self.expects = "alias" if key == "AS" else ""
            return True
        if frame.unnamed is not None and is_name and (token.kind is QUOTED or key not in NO_ALIAS):
            return frame.give_alias(token.name)
        if not frame.give_none():
            return False
        if key == "," and frame.clause == "from" and frame.kind != "plain":
            return self._expect_table()
        return self._keyword(token)

    def _end_statement(self, frame: Frame, token: Token) -> bool:
        if not frame.give_none():
            return False
        self.scopes.end_statement(token.pos + len(token.text))
        return True

    def _dot(self) -> bool:
        """A dot: behind a name it asks for one of its columns."""
        last = self._last
        if last is None or last.kind not in (WORD, QUOTED, VARIABLE) or last.key in RESERVED:
            return True
        self._qualifier = last.name
        known = self.scopes.resolve(self._qualifier)
        if known.untold:
            return False
        self.expects = "column"
        if (columns := known.names) is not None:
            self.names = self._schema.name_set(known.key, lambda: columns)
        return True

    def _keyword(self, token: Token) -> bool:
        frame, key = self.scopes.innermost, token.key
        behind = self._last.key if self._last else ""
        if key in VERBS and behind != "THEN":
            return self._verb(key)
        if key == "FROM" and behind != "DISTINCT" and (frame.kind in ("query", "cte", "source") or frame.verb):
            if frame.verb in CHANGES_ROWS:  # its FROM hides the table that is changed
                frame.sources = {}
            frame.clause = "from"
            return self._expect_table()
        if key == "JOIN" or (key == "APPLY" and behind in ("CROSS", "OUTER")) or (key == "USING" and frame.verb == "MERGE"):
            return self._expect_table()
        if key == "INTO":
            self.expects = "into"
        elif key in ("PIVOT", "UNPIVOT"):
            frame.sources = dict.fromkeys(frame.sources, UNTOLD)
        elif key in ENDS_FROM:
            frame.clause = "other"
            if key in SET_OPERATORS and frame.kind == "cte" and frame.name not in self.scopes.ctes:
                self.scopes.ctes[frame.name] = self.scopes.columns_of_cte(self._text, token.pos, ")", frame.name)
        return True

    def _verb(self, key: str) -> bool:
        frame = self.scopes.innermost
        if frame.kind == "plain":
            frame.kind = "query"
        goes_on = self._last is not None and (self._last.key in SET_OPERATORS or self._last.key == "ALL")
        if frame.kind == "base" and frame.verb and not goes_on and not (key == "SELECT" and frame.verb == "INSERT"):
            self.scopes.ctes = {}
            self.scopes.statement = self._end
            frame.verb = ""
        if frame.kind == "base" and not frame.verb:
            frame.start = self._end
        if not (key == "SELECT" and frame.verb == "INSERT"):
            frame.verb = key
        frame.sources, frame.asked, frame.unnamed = {}, {}, None
        frame.clause = "select" if key == "SELECT" else "other"
        return True if key == "SELECT" else self._expect_table(BEHIND_VERB[key], changed=True)

    def _open(self, token: Token, kind: str = "plain") -> bool:
        frame, last = self.scopes.innermost, self._last
        opened = Frame(kind, token.pos + 1)
        if kind == "plain" and frame.kind == "base" and not frame.verb and last and last.key == "AS":
            opened = Frame("cte", token.pos + 1, name=self._name_before_as(token.pos))
        elif kind == "plain" and last and frame.clause == "from" and frame.unnamed is None and self._may_list_columns(frame, last.name):
            frame.sources[last.name] = UNTOLD
        self.scopes.frames.append(opened)
        if kind == "source":
            opened.clause = "from"
            return self._expect_table(BEHIND_PARENTHESIS)
        return True

    def _may_list_columns(self, frame: Frame, alias: str) -> bool:
        """Whether a parenthesis behind an alias lists its columns: behind that of a table stand hints."""
        known = frame.sources.get(alias)
        return known is not None and not known.key.startswith("table")

    def _name_before_as(self, end: int) -> str:
        """The CTE's name in `name AS (` or `name (columns) AS (`, whose last parenthesis is at `end`."""
        found = _CTE_HEAD.search(self._text[self.scopes.statement : end])
        return (found[1] or found[2]) if found else ""

    def _close(self, token: Token) -> bool:
        scopes = self.scopes
        if len(scopes.frames) == 1:
            return True
        if not scopes.innermost.give_none():
            return False
        closed, frame = scopes.close(), scopes.innermost
        if closed.kind == "cte" and closed.name:
            scopes.ctes[closed.name] = scopes.columns_of_cte(self._text, token.pos + 1, "", closed.name)
        elif closed.kind == "source" and closed.verb:
            told = UNTOLD if closed.verb == "VALUES" else scopes.columns_of_derived(self._text, closed.start, token.pos)
            frame.unnamed = " derived", told  # no text has this name: an alias must follow
        elif closed.kind == "source":
            return all(frame.add(name, columns) for name, columns in closed.sources.items())
        return True
