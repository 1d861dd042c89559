"""The end of an unfinished SQL text: which names may stand there, by position and by what the text has defined so far.

    cursor = Cursor(catalogue)
    cursor.feed("SELECT APTH.")       # True: nothing is wrong so far
    cursor.names                      # the columns of APTH
    cursor.feed("Foo ")               # False: APTH has no such column

A statement that the parser refuses has no names that count, so only positions of well-formed T-SQL matter. What is followed: tables after
FROM, JOIN, APPLY and the words that change rows; columns behind a qualifier; aliases, CTEs, derived tables, #temp tables. Where columns
cannot be told, as of a PIVOT, the qualifier takes no dot. Unqualified columns are free.
"""

from __future__ import annotations

import copy
import re
from bisect import bisect_left
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import cached_property

from vgpt2.sql.binding import bind
from vgpt2.sql.binding.queries import FUNCTION_COLUMNS
from vgpt2.sql.catalogue import Catalogue
from vgpt2.sql.lexer import QUOTED, VARIABLE, WORD, Token, tokenize
from vgpt2.sql.parser import parse
from vgpt2.sql.parser.statement_nodes import SelectStatement
from vgpt2.sql.parser.words import RESERVED

VERBS = frozenset(("SELECT", "INSERT", "UPDATE", "DELETE", "MERGE"))
BEHIND_VERB = {"INSERT": ("INTO", "into"), "UPDATE": (), "DELETE": ("FROM", "from"), "MERGE": ("INTO", "into")}
BEHIND_PARENTHESIS = ("SELECT", "select", "VALUES", "values")
WORDS = frozenset(word for words in (*BEHIND_VERB.values(), BEHIND_PARENTHESIS) for word in words)
NO_ALIAS = RESERVED | {"USING", "OUTPUT"}
SET_OPERATORS = frozenset(("UNION", "EXCEPT", "INTERSECT"))
ENDS_FROM = SET_OPERATORS | {"WHERE", "GROUP", "HAVING", "ORDER", "OPTION", "FOR", "SET", "VALUES", "WHEN", "OUTPUT"}
SYSTEM_SCHEMAS = frozenset(("sys", "INFORMATION_SCHEMA"))
PSEUDO_TABLES = frozenset(("inserted", "deleted"))
# bounds and look-behinds keep these linear on any text
CTE_HEAD = re.compile(
    r"(?:\[([^\[\]]{1,128})\]|(?<![\w@#$])([\w@#$]{1,128}))\s{0,64}(?:\([^()]{0,4096}\)\s{0,64})?AS\s{0,64}\Z", re.IGNORECASE
)
COMMENT = re.compile(r"--[^\r\n]*[\r\n]?|/\*.*?(?:\*/|\Z)", re.DOTALL)
COMPLETE = frozenset("(),;.")  # operators that no further character turns into others
# what may lie behind the last whole token where a name is expected: nothing, a word, a bracket, a comment, the end of a fence
UNFINISHED = re.compile(r"\s*(?:--[^\r\n]*|-|/|/\*.*|\[[^\]]*\]?|[\w@#$]*)|\s*\n[ \t]*`{1,3}", re.DOTALL)
WORD_AT_END = re.compile(r"(?<![\w@#$])[\w@#$]*\Z")


class NameSet:
    """Names that may stand at a place."""

    def __init__(self, key: str, names: Collection[str]) -> None:
        self.key = key  # the same for equal sets
        self.sorted = sorted(names)

    def __contains__(self, name: str) -> bool:
        place = bisect_left(self.sorted, name)
        return place < len(self.sorted) and self.sorted[place] == name

    def beginning(self, prefix: str) -> list[str]:
        """The names that begin with `prefix`."""
        return self.sorted[bisect_left(self.sorted, prefix) : bisect_left(self.sorted, prefix + "\U0010ffff")]


class Schema:
    """The name sets of a catalogue, shared by all cursors."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.schemas: dict[str, set[str]] = {}
        for o in catalogue.objects.values():
            self.schemas.setdefault(o.schema, set()).update({o.name, *filter(None, (o.base_table,))})
        self.tables = frozenset().union(*self.schemas.values()) if self.schemas else frozenset()
        self._sets: dict[str, NameSet] = {}

    def name_set(self, key: str, names: Callable[[], Collection[str]]) -> NameSet:
        """The set under a key, made from `names` when it is first asked for."""
        if key not in self._sets:
            self._sets[key] = NameSet(key, names())
        return self._sets[key]

    @cached_property
    def in_table_position(self) -> frozenset[str]:
        return self.tables | self.schemas.keys() | SYSTEM_SCHEMAS | FUNCTION_COLUMNS.keys()

    def columns(self, table: str) -> frozenset[str] | None:
        """Columns of a catalogue object or of a base table that a view shows; None where nobody knows them."""
        views = self.catalogue.views_of(table)
        found = self.catalogue.get(table) or (self.catalogue.get(views[0]) if views else None)
        return frozenset(found.column_names) if found and found.columns else None


@dataclass(frozen=True)
class Columns:
    """What is known of the columns behind a name: all of them, nothing (they are free), or that they cannot be told."""

    names: frozenset[str] | None
    key: str = ""
    untold: bool = False


FREE, UNTOLD = Columns(None), Columns(None, untold=True)


@dataclass
class Frame:
    """A SELECT or a pair of parentheses."""

    kind: str  # base, plain, query, source (parentheses in FROM), cte
    start: int = 0  # offset behind the opening parenthesis
    clause: str = ""  # "", select, from, other
    name: str = ""  # of a CTE
    verb: str = ""
    sources: dict[str, Columns] = field(default_factory=dict)
    used: dict[str, frozenset[str]] = field(default_factory=dict)  # qualifiers that were no source yet, with their columns
    last: tuple[str, Columns] | None = None  # a source that an alias may still follow, and is none before

    def copy(self) -> Frame:
        return Frame(self.kind, self.start, self.clause, self.name, self.verb, dict(self.sources), dict(self.used), self.last)


class Cursor:
    """See the module's docstring; `copy` it to try what may follow."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.names: NameSet | None = None  # what the name at the end must be, None where it is free
        self._text = ""
        self._settled = 0  # up to here the text is whole tokens
        self._frames = [Frame("base")]
        self._ctes: dict[str, Columns] = {}
        self._last: Token | None = None
        self._expects = ""  # "", table, column, dot, parenthesis, alias, into
        self._in_schema = ""
        self._qualifier = ""
        self._statement = 0  # offset of the statement's first token

    def copy(self) -> Cursor:
        other = copy.copy(self)
        other._frames = [frame.copy() for frame in self._frames]
        other._ctes = dict(self._ctes)
        return other

    @property
    def pending(self) -> tuple[str, bool]:
        """The beginning of the name at the end of the text, '' where none has begun, and whether it stands in brackets."""
        rest = self._rest.lstrip()
        if rest.startswith("["):
            return rest[1:], True
        found = WORD_AT_END.search(rest)
        return (found[0] if found else ""), False

    @property
    def expects_name(self) -> bool:
        """Whether a name of the catalogue is begun or must come, or the sign that its last part asks for."""
        return self.names is not None or self._expects in ("dot", "parenthesis")

    @property
    def place(self) -> tuple[str, str, str]:
        """What decides which tokens may follow where a name is expected."""
        return self._expects, self.names.key if self.names else "", self._rest

    @property
    def is_commenting(self) -> bool:
        """Whether the text ends in a comment, where everything may be said."""
        return self._rest.lstrip().startswith(("--", "/*"))

    @property
    def _rest(self) -> str:
        """What lies behind the last whole token, without the comments that are whole."""
        return COMMENT.sub(_without, self._text[self._settled :])

    def may_end(self) -> bool:
        """Whether the text can end here, what is begun counting as whole."""
        ended = self.copy()
        return ended.feed("\n") and ended._expects not in ("dot", "parenthesis") and ended._without_alias(ended._frames[-1])

    def feed(self, text: str) -> bool:
        """Goes on by `text`; False where that names what does not exist, after which the cursor is of no use."""
        self._text += text
        tail = self._text[self._settled :]
        offset = self._settled
        for token in tokenize(tail)[:-1]:
            end = token.pos + len(token.text)
            may_grow = end == len(tail) and token.key not in COMPLETE
            if may_grow or (token.text == "`" and self.names is not None):  # a fence may be about to close
                break
            if not self._take(Token(token.kind, token.text, offset + token.pos)):
                return False
            self._settled = offset + end
        return self._fits(self._rest)

    def _fits(self, rest: str) -> bool:
        """Whether the unfinished rest can become what is expected."""
        if self._expects == "dot":
            return not rest.strip()
        if self._expects == "parenthesis":
            return not rest
        if self.names is None:
            return True
        if self._expects == "column" and rest.strip() == "*":
            return True
        if not UNFINISHED.fullmatch(rest):
            return False
        word = rest.strip()
        if word.startswith(("--", "/*", "#", "@", "`")) or word in ("", "-", "/"):
            return not word.startswith(("#", "@")) or self._expects == "table"
        if word.endswith("]"):
            return word[1:-1] in self.names and word[1:-1] not in WORDS
        return (not rest[-1:].isspace() or word.startswith("[")) and bool(self.going_on())

    def going_on(self) -> list[str]:
        """The names that the end of the text can become."""
        begun, in_brackets = self.pending
        found = self.names.beginning(begun) if self.names else []
        return [name for name in found if name not in WORDS] if in_brackets else found

    def _take(self, token: Token) -> bool:
        """One whole token; False where it is a name that does not exist."""
        expects, self._expects, self.names = self._expects, "", None
        is_name = token.kind is QUOTED or (token.kind is WORD and not token.key.startswith(("#", "@")))
        if expects == "dot":
            ok = token.key == "." and self._expect_table(self._in_schema)
        elif expects == "parenthesis":
            ok = token.key == "(" and self._open(token)
        elif expects == "table":
            ok = self._table(token, is_name)
        elif expects == "column":
            ok = self._column(token, is_name)
        elif expects in ("alias", "into") and (is_name or token.kind is WORD):
            ok = self._alias(token) if expects == "alias" else True  # INTO makes a table of any name
        else:
            ok = self._other(token, is_name)
        self._last = token
        return ok

    def _expect_table(self, schema: str = "", words: tuple[str, ...] = ()) -> bool:
        """A table comes next, of a schema where one is given, or one of the words that may stand before it."""
        self._expects, self._in_schema = "table", schema
        if schema in SYSTEM_SCHEMAS:
            self._expects = ""
        elif schema:
            self.names = self.schema.name_set(f"schema {schema}", lambda: self.schema.schemas[schema])
        else:
            key = " ".join(["tables", *words, *sorted(self._ctes)])
            self.names = self.schema.name_set(key, lambda: self.schema.in_table_position | self._ctes.keys() | {*words})
        return True

    def _table(self, token: Token, is_name: bool) -> bool:
        frame = self._frames[-1]
        if token.key == "(":
            return self._open(token, "source")
        if token.key in ("SELECT", "VALUES") and frame.kind == "source" and self._last and self._last.key == "(":
            frame.verb = token.key
            return self._keyword(token)
        if self._last and token.text in BEHIND_VERB.get(self._last.key, ()):
            return self._expect_table()
        if token.kind is VARIABLE or token.text.startswith("#"):
            return self._named(token.name, UNTOLD)
        if not is_name:
            return token.key in (")", ";") and self._other(token, is_name)
        name = token.name
        if not self._in_schema and name in self._ctes:
            return self._named(name, self._ctes[name])
        if name in (self.schema.schemas[self._in_schema] if self._in_schema else self.schema.tables):
            return self._named(name, self._columns_of_table(name))
        if not self._in_schema and (name in self.schema.schemas or name in SYSTEM_SCHEMAS):
            self._expects, self._in_schema = "dot", name
            return True
        if not self._in_schema and name in FUNCTION_COLUMNS:
            self._expects = "parenthesis"
            columns = Columns(frozenset(FUNCTION_COLUMNS[name]), f"function {name}")
            return self._named(name, UNTOLD if name == "OPENJSON" else columns)  # its WITH may list others
        return False

    def _columns_of_table(self, table: str) -> Columns:
        found = self.schema.columns(table)
        return FREE if found is None else Columns(found, f"table {table}")

    def _add_source(self, name: str, columns: Columns) -> bool:
        """A source of this SELECT; False where the text has asked it for a column that it has not. Of twins the first one counts."""
        frame = self._frames[-1]
        used = frame.used.get(name, frozenset())
        if name in frame.sources:
            return True
        frame.sources[name] = columns
        return not used or (not columns.untold and (columns.names is None or used <= columns.names))

    def _without_alias(self, frame: Frame) -> bool:
        """The source that took no alias goes by its own name."""
        follows, frame.last = frame.last, None
        return follows is None or self._add_source(*follows)

    def _alias(self, token: Token) -> bool:
        follows, self._frames[-1].last = self._frames[-1].last, None
        assert follows is not None
        return self._add_source(token.name, follows[1])

    def _named(self, name: str, columns: Columns) -> bool:
        """A source behind which an alias may follow."""
        self._frames[-1].last = name, columns
        return True

    def _column(self, token: Token, is_name: bool) -> bool:
        known = self._resolve(self._qualifier)
        if not is_name:
            return token.key == "*" or (known.names is None and self._other(token, is_name))
        if known.names is not None and token.name not in known.names:
            return False
        frame = self._frames[-1]
        if self._qualifier not in frame.sources:
            frame.used[self._qualifier] = frame.used.get(self._qualifier, frozenset()) | {token.name}
        return True

    def _resolve(self, qualifier: str) -> Columns:
        """The columns behind a qualifier: of a source in scope or of a table yet to be named; free behind an alias yet to be given."""
        for frame in reversed(self._frames):
            if qualifier in frame.sources:
                return frame.sources[qualifier]
        if qualifier.startswith(("#", "@")) or qualifier.lower() in PSEUDO_TABLES:
            return UNTOLD
        if qualifier in self._ctes:
            return self._ctes[qualifier]
        if qualifier in self.schema.tables:
            return self._columns_of_table(qualifier)
        return FREE

    def _other(self, token: Token, is_name: bool) -> bool:
        """A token where no name of the catalogue is expected."""
        frame, key = self._frames[-1], token.key
        if key == ".":
            return frame.last is None and self._dot()  # behind a table's name a dot would make it a schema
        if key == "(":
            return self._open(token)
        if key == ")":
            return self._close(token)
        if key == ";" or token.kind == "go":
            self._frames, self._ctes, self._statement = [Frame("base")], {}, token.pos + len(token.text)
            return True
        if frame.last is not None and key in ("AS", "WITH"):  # an alias may stand behind the hints, too
            self._expects = "alias" if key == "AS" else ""
            return True
        if frame.last is not None and is_name and (token.kind is QUOTED or key not in NO_ALIAS):
            return self._alias(token)
        if not self._without_alias(frame):
            return False
        if key == "," and frame.clause == "from" and frame.kind != "plain":
            return self._expect_table()
        return self._keyword(token)

    def _dot(self) -> bool:
        """A dot: behind a name it asks for one of its columns."""
        last = self._last
        if last is None or last.kind not in (WORD, QUOTED, VARIABLE) or last.key in RESERVED:
            return True
        self._qualifier = last.name
        known = self._resolve(self._qualifier)
        if known.untold:
            return False
        self._expects = "column"
        if (columns := known.names) is not None:
            self.names = self.schema.name_set(known.key, lambda: columns)
        return True

    def _keyword(self, token: Token) -> bool:
        frame, key = self._frames[-1], token.key
        behind = self._last.key if self._last else ""
        if key in VERBS and behind != "THEN":
            return self._verb(key)
        if key == "FROM" and behind != "DISTINCT" and (frame.kind in ("query", "cte", "source") or frame.verb):
            if frame.verb in ("UPDATE", "DELETE"):  # its FROM hides the table that is changed, whose columns may be asked for already
                frame.used |= {name: columns.names for name, columns in frame.sources.items() if columns.names}
                frame.sources = {}
            frame.clause = "from"
            return self._expect_table()
        if key == "JOIN" or (key == "APPLY" and behind in ("CROSS", "OUTER")) or (key == "USING" and frame.verb == "MERGE"):
            return self._expect_table()
        if key == "INTO":
            self._expects = "into"
        elif key in ("PIVOT", "UNPIVOT"):
            frame.sources = dict.fromkeys(frame.sources, UNTOLD)
        elif key in ENDS_FROM:
            frame.clause = "other"
            if key in SET_OPERATORS and frame.kind == "cte" and frame.name not in self._ctes:
                self._ctes[frame.name] = self._columns_of_query(token.pos, ")", frame.name)
        return True

    def _verb(self, key: str) -> bool:
        frame = self._frames[-1]
        if frame.kind == "plain":
            frame.kind = "query"
        goes_on = self._last is not None and (self._last.key in SET_OPERATORS or self._last.key == "ALL")
        if frame.kind == "base" and frame.verb and not goes_on and not (key == "SELECT" and frame.verb == "INSERT"):
            self._ctes = {}
            self._statement = self._settled
            frame.verb = ""
        if frame.kind == "base" and not frame.verb:
            frame.start = self._settled
        if not (key == "SELECT" and frame.verb == "INSERT"):
            frame.verb = key
        frame.sources, frame.used, frame.last = {}, {}, None
        frame.clause = "select" if key == "SELECT" else "other"
        return True if key == "SELECT" else self._expect_table(words=BEHIND_VERB[key])

    def _open(self, token: Token, kind: str = "plain") -> bool:
        frame = self._frames[-1]
        last = self._last
        opened = Frame(kind, token.pos + 1)
        if kind == "plain" and frame.kind == "base" and not frame.verb and last and last.key == "AS":
            opened = Frame("cte", token.pos + 1, name=self._name_before_as(token.pos))
        elif kind == "plain" and last and frame.clause == "from" and frame.last is None and self._may_list_columns(last.name):
            frame.sources[last.name] = UNTOLD
        self._frames.append(opened)
        if kind == "source":
            opened.clause = "from"
            return self._expect_table(words=BEHIND_PARENTHESIS)
        return True

    def _may_list_columns(self, alias: str) -> bool:
        """Whether a parenthesis behind an alias lists its columns: behind that of a table stand hints."""
        known = self._frames[-1].sources.get(alias)
        return known is not None and not known.key.startswith("table")

    def _name_before_as(self, end: int) -> str:
        """The CTE's name in `name AS (` or `name (columns) AS (`, whose last parenthesis is at `end`."""
        found = CTE_HEAD.search(self._text[self._statement : end])
        return (found[1] or found[2]) if found else ""

    def _close(self, token: Token) -> bool:
        if len(self._frames) == 1:
            return True
        if not self._without_alias(self._frames[-1]):
            return False
        closed, frame = self._frames.pop(), self._frames[-1]
        for name, used in closed.used.items():
            if name not in closed.sources:
                frame.used[name] = frame.used.get(name, frozenset()) | used
        if closed.kind == "cte" and closed.name:
            self._ctes[closed.name] = self._columns_of_query(token.pos + 1, "", closed.name)
        elif closed.kind == "source" and closed.verb:
            told = UNTOLD if closed.verb == "VALUES" else self._columns_of_derived(closed.start, token.pos)
            frame.last = " derived", told  # no text has this name: an alias must follow
        elif closed.kind == "source":
            return all(self._add_source(name, columns) for name, columns in closed.sources.items())
        return True

    def _columns_of_query(self, end: int, closing: str, cte: str) -> Columns:
        """The columns of a CTE whose query ends at `end`."""
        return self._told(f"{self._text[self._statement : end]}{closing}\nSELECT * FROM [{cte}]")

    def _columns_of_derived(self, start: int, end: int) -> Columns:
        head = self._text[self._statement : self._frames[0].start] if self._ctes else ""
        return self._told(f"{head}\nSELECT * FROM ({self._text[start:end]}) AS [derived]")

    def _told(self, sql: str) -> Columns:
        """The columns that the last source of a whole text has."""
        statements, errors = parse(sql)
        last = statements[-1] if statements else None
        if errors or not isinstance(last, SelectStatement):
            return UNTOLD
        binding = bind(statements, self.schema.catalogue)
        outer = next((bound for bound in binding.selects if bound.select is last.query.body), None)
        if outer is None or any(problem.code == "unknown_table" for problem in binding.problems):
            return UNTOLD
        rowset = outer.scope.sources[0].rowset
        names = frozenset(name for name in rowset.outputs if name is not None)
        return FREE if rowset.open else Columns(names, " ".join(["columns", *sorted(names)]))


def _without(comment: re.Match[str]) -> str:
    """A line's end in the place of a finished comment; one that the text ends in stays."""
    text = comment[0]
    is_finished = text[-1] in "\r\n" if text.startswith("--") else len(text) > 3 and text.endswith("*/")
    return "\n" if is_finished else text
