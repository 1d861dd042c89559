"""Scripts to drafts: what CREATE, ALTER and the calls of a few system procedures state. Nothing is executed.

A folder holds T-SQL scripts in any order; one file may also be the plain CREATE TABLE text of another database.
"""

from __future__ import annotations

import re
from functools import cached_property
from itertools import takewhile
from pathlib import Path

from vgpt2.sql.importers import calls, comments, foreign
from vgpt2.sql.importers.drafts import Draft, Drafts, Key, Progress, Reference, Unread
from vgpt2.sql.importers.files import MAX_FILES, SCRIPT_ENDINGS, place_in, read_text, scripts
from vgpt2.sql.importers.types import UserType, column_of, facts_of
from vgpt2.sql.lexer import END, GO, QUOTED, WORD, Places, batches
from vgpt2.sql.parser import ddl, lenient_stream
from vgpt2.sql.parser import statement_nodes as st
from vgpt2.sql.parser.nodes import Name
from vgpt2.sql.parser.stream import ParseError, Stream
from vgpt2.sql.parser.words import STATEMENTS

DEFAULT_SCHEMA = "dbo"
_ROUTINES = {"PROC": "procedures", "PROCEDURE": "procedures", "FUNCTION": "functions", "TRIGGER": "triggers"}
_ROUTINE_BATCH = re.compile(
    r"(?:\s|--[^\r\n]*)*+(?:CREATE|ALTER)\s++(?:OR\s++(?:ALTER|REPLACE)\s++)?(PROC|PROCEDURE|FUNCTION|TRIGGER)\b", re.IGNORECASE
)
_WORTH_READING = re.compile(r"\b(?:CREATE|ALTER|sp_addtype|sp_add\w*property|COMMENT)\b", re.IGNORECASE)
_TEMPORARY = frozenset(("TEMP", "TEMPORARY", "VIRTUAL", "EXTERNAL", "FOREIGN"))
_MODIFIERS = _TEMPORARY | frozenset(("OR", "ALTER", "REPLACE", "UNLOGGED", "MATERIALIZED", "GLOBAL", "LOCAL", "CONSTRAINT"))
_KINDS = frozenset(("TABLE", "VIEW", "TYPE", "UNIQUE", *_ROUTINES))
_MAX_NESTING = 2  # a script may hold a script in a string, for sp_executesql


def read_folder(folder: Path, progress: Progress = list) -> Drafts:
    """Drafts of all scripts below a folder. Raises ValueError where it has none, or too many."""
    found = list(scripts(folder))
    paths = [path for path in found if isinstance(path, Path)]
    if not paths:
        raise ValueError(f"{folder}: no script in this folder; the name of a script ends in {', '.join(sorted(SCRIPT_ENDINGS))}")
    if len(paths) > MAX_FILES:
        raise ValueError(f"{folder}: {len(paths):,} scripts; at most {MAX_FILES:,} are read, name a folder further down")
    statements = Statements()
    statements.unread += [link for link in found if isinstance(link, Unread)]
    for path in progress(paths):
        try:
            text = read_text(path)
        except (ValueError, OSError) as error:
            statements.unread.append(Unread(place_in(folder, path), str(error).removeprefix(f"{path}: ")))
            continue
        statements.n_files += 1
        statements.read(text, place_in(folder, path))
    return statements.drafts()


def read_file(path: Path) -> Drafts:
    """Drafts of one script; one without GO lines may be another database's. Raises ValueError for no plain file, or too large a one."""
    text = read_text(path)
    is_plain = sum(1 for _ in batches(text)) == 1
    statements = Statements(is_plain=is_plain)
    statements.n_files = 1
    statements.read(foreign.as_tsql(text) if is_plain else text, path.name)
    return statements.drafts()


class Source:
    """Where a text stands, for places."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text

    @cached_property
    def places(self) -> Places:
        return Places(self.text)

    @cached_property
    def comments(self) -> comments.Comments:
        return comments.by_line(self.text)

    def line(self, pos: int) -> int:
        return self.places(pos)[0]

    def place(self, pos: int) -> str:
        return f"{self.name}:{self.line(pos)}"


class Statements:
    """What the scripts read so far state, in their order; `drafts` puts it together when all are read.

    `is_plain`: the text may be another database's, so that a routine may end before its batch, and comments are descriptions.
    """

    def __init__(self, *, is_plain: bool = False) -> None:
        self.n_files = 0
        self.unread: list[Unread] = []
        self._is_plain = is_plain
        self._drafts = Drafts(unread=self.unread)
        self._tables: dict[str, tuple[st.TableDefinition, str]] = {}
        self._alterations: list[tuple[st.TableDefinition | st.IndexDefinition, str]] = []
        self._views: dict[str, tuple[st.ViewDefinition | None, Name, str, str | None]] = {}
        self._types: dict[str, UserType] = {}
        self._descriptions: dict[tuple[str, str | None], str] = {}

    def read(self, text: str, name: str) -> None:
        """Add one script."""
        source = Source(name, text)
        for start, batch in batches(text):
            routine = _ROUTINE_BATCH.match(batch)
            if routine and not self._is_plain:
                self._drafts.ignored[_ROUTINES[routine[1].upper()]] += 1
            elif _WORTH_READING.search(batch):
                self._read_batch(batch, source, start, 0)

    def _read_batch(self, batch: str, source: Source, start: int, nesting: int) -> None:
        s = lenient_stream(batch)
        while s.tok.kind is not END:
            first = s.index
            try:
                self._statement(s, source, start, nesting)
            except ParseError as error:
                self.unread.append(Unread(source.place(start + error.pos), error.message))
                s.depth = 0
                if s.index == first:
                    s.take()

    def _statement(self, s: Stream, source: Source, start: int, nesting: int) -> None:
        """One statement that states something, or one token that begins none."""
        if s.at("CREATE", "ALTER"):
            self._definition(s, source, start)
        elif s.at("EXEC", "EXECUTE") or s.tok.text.lower() in calls.PROCEDURES:
            pos = start + s.tok.pos  # places inside a string are those of the statement that holds it, or near
            called = calls.read(s)
            if called.script is not None and nesting < _MAX_NESTING and _WORTH_READING.search(called.script):
                self._read_batch(called.script, source, pos, nesting + 1)
            self._types |= {t.name.lower(): t for t in called.types}
            self._descriptions |= called.descriptions
        elif s.at_words("COMMENT", "ON"):
            self._descriptions |= calls.comment_on(s)
        else:
            s.take()

    def _definition(self, s: Stream, source: Source, start: int) -> None:
        first = s.tok
        words = list(takewhile(lambda word: word in _MODIFIERS, (s.peek(n).key for n in range(1, 5))))
        kind = s.peek(len(words) + 1).key
        if kind in _ROUTINES:
            self._drafts.ignored[_ROUTINES[kind]] += 1
            foreign.skip_routine(s)
        elif kind not in _KINDS or (first.key == "ALTER" and kind == "TYPE"):
            s.take()
        elif _TEMPORARY.intersection(words):
            self._drafts.ignored["temporary and foreign tables"] += 1
            s.take()
        elif kind == "VIEW":
            self._view(s, source, start)
        else:
            self._keep(ddl.create(s), source, start)

    def _keep(self, node: st.Statement, source: Source, start: int) -> None:
        if isinstance(node, st.TableDefinition):
            self._table(node, source, start)
        elif isinstance(node, st.IndexDefinition):
            self._alterations.append((node, source.place(start + node.pos)))
        elif isinstance(node, st.TypeDefinition):
            self._types[node.name.last.lower()] = UserType(node.name.last, facts_of(node.type), node.nullable)

    def _table(self, node: st.TableDefinition, source: Source, start: int) -> None:
        place = source.place(start + node.pos)
        if node.name.last.startswith(("#", "@")):
            return
        if node.adds:
            self._alterations.append((node, place))
        elif node.name.last in self._tables:
            before = self._tables[node.name.last][1]
            self.unread.append(Unread(place, f"table '{node.name.last}' is defined before, at {before}; the first is kept"))
        else:
            self._tables[node.name.last] = (node, place)
            if self._is_plain:
                comments.describe(node, source.comments, lambda pos: source.line(start + pos))

    def _view(self, s: Stream, source: Source, start: int) -> None:
        """A view, kept without its query where that cannot be read: its name is still real. ALTER VIEW replaces what was there."""
        first = s.tok
        name = _name_of_view(s)
        place = source.place(start + first.pos)
        kept = None
        try:
            node = ddl.create(s)
            if s.tok.kind not in (END, GO) and not s.at(";") and s.tok.key not in STATEMENTS:
                s.fail(f"view '{name.last}': its query ends before '{s.tok.text[:20]}', which is not read; its columns are left out")
            kept = node if isinstance(node, st.ViewDefinition) else None
        except ParseError as error:
            self.unread.append(Unread(source.place(start + error.pos), error.message))
            s.depth = 0
        about = comments.above(source.comments, source.line(start + first.pos)) if self._is_plain else None
        if first.key == "CREATE" and name.last in self._views:
            before = self._views[name.last][2]
            self.unread.append(Unread(place, f"view '{name.last}' is defined before, at {before}; the first is kept"))
        elif kept is not None or name.last not in self._views:  # an ALTER VIEW of another kind (OWNER TO) changes no column
            self._views[name.last] = (kept, name, place, about)

    def drafts(self) -> Drafts:
        """Drafts of the tables and views, keys and changes of other scripts put to their tables."""
        drafts = self._drafts
        drafts.n_files, drafts.n_types = self.n_files, len(self._types)
        tables = _Tables({name: node for name, (node, _) in self._tables.items()})
        for change, place in self._alterations:
            if not tables.apply(change):
                table = change.table if isinstance(change, st.IndexDefinition) else change.name
                self.unread.append(Unread(place, f"changes '{table.last}', which no script makes; the change is left out"))
        for name, (node, place) in self._tables.items():
            drafts.add(self._table_draft(name, node, place))
        for name, (definition, path, place, about) in self._views.items():
            about = self._descriptions.get((name, None), about)
            drafts.add(Draft(name, _schema(path), "view", place, definition=definition, description=about))
        return drafts

    def _table_draft(self, name: str, node: st.TableDefinition, place: str) -> Draft:
        about = self._descriptions.get((name, None), node.comment)
        draft = Draft(name, _schema(node.name), "table", place, description=about)
        for column in node.columns:
            column.comment = self._descriptions.get((name, column.name), column.comment)
            draft.columns.append(column_of(column, self._types))
        for key in node.keys:
            if key.parent is not None:
                draft.references.append(Reference(tuple(key.columns), key.parent.last, tuple(key.parent_columns), place))
            else:
                draft.keys.append(Key(tuple(key.columns), key.kind == "PRIMARY KEY", key.clustered))
        return draft


class _Tables:
    """Definitions by name, exact or in any case, to which changes are applied."""

    def __init__(self, definitions: dict[str, st.TableDefinition]) -> None:
        self._exact = definitions
        self._lower = {name.lower(): node for name, node in definitions.items()}

    def apply(self, change: st.TableDefinition | st.IndexDefinition) -> bool:
        """Whether the table is there; if so, it is changed."""
        name = change.table.last if isinstance(change, st.IndexDefinition) else change.name.last
        table = self._exact.get(name) or self._lower.get(name.lower())
        if table is None:
            return name.startswith(("#", "@"))
        if isinstance(change, st.IndexDefinition):
            table.keys.append(change.key)
            return True
        changed = {column.name: column for column in change.changes}
        kept = [_merged(column, changed.get(column.name)) for column in table.columns if column.name not in change.drops]
        table.columns = kept + change.columns
        table.keys += change.keys
        return True


def _merged(column: st.ColumnDefinition, change: st.ColumnDefinition | None) -> st.ColumnDefinition:
    """The column behind ALTER COLUMN; a change that begins with an option (SET DEFAULT, ADD IDENTITY) changes no type."""
    if change is None or change.type is None or change.type.name.upper().startswith(("SET", "ADD", "DROP", "TYPE")):
        if change is not None:
            column.identity |= change.identity
        return column
    change.identity |= column.identity
    return change


def _name_of_view(s: Stream) -> Name:
    """The name behind CREATE ... VIEW; the cursor stays."""
    ahead = next(n for n in range(1, 6) if s.peek(n).key == "VIEW") + 1
    if s.peek(ahead).key == "IF":
        ahead += 3 if s.peek(ahead + 1).key == "NOT" else 2
    parts = [s.peek(ahead)]
    while s.peek(ahead + 1).key == ".":
        ahead += 2
        parts.append(s.peek(ahead))
    if parts[-1].kind not in (WORD, QUOTED):
        s.fail("expected the name of a view", parts[-1])
    return Name(parts[0].pos, tuple(token.name for token in parts), tuple(token.pos for token in parts))


def _schema(path: Name) -> str:
    return path.parts[-2] if len(path.parts) > 1 and path.parts[-2] else DEFAULT_SCHEMA
