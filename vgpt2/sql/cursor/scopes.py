"""What a statement has defined so far: the sources of each SELECT, their aliases, CTEs, and columns asked of names yet to come."""

from __future__ import annotations

from dataclasses import dataclass, field

from vgpt2.sql.binding import bind
from vgpt2.sql.cursor.names import FREE, UNTOLD, Columns, Schema
from vgpt2.sql.parser import parse
from vgpt2.sql.parser.statement_nodes import SelectStatement

CHANGES_ROWS = ("UPDATE", "DELETE")
_PSEUDO_TABLES = frozenset(("inserted", "deleted"))


@dataclass
class Frame:
    """A SELECT or a pair of parentheses."""

    kind: str  # base, plain, query, source (parentheses in FROM), cte
    start: int = 0  # offset behind the opening parenthesis
    clause: str = ""  # "", select, from, other
    name: str = ""  # of a CTE
    verb: str = ""
    sources: dict[str, Columns] = field(default_factory=dict)
    asked: dict[str, frozenset[str]] = field(default_factory=dict)  # columns by qualifier, of those that no source here has settled
    unnamed: tuple[str, Columns] | None = None  # a source that an alias may still follow, and is none before

    def copy(self) -> Frame:
        return Frame(self.kind, self.start, self.clause, self.name, self.verb, dict(self.sources), dict(self.asked), self.unnamed)

    def ask(self, qualifier: str, columns: frozenset[str]) -> None:
        self.asked[qualifier] = self.asked.get(qualifier, frozenset()) | columns

    def unsettled(self) -> frozenset[tuple[str, frozenset[str]]]:
        """What was asked of names that are no source here yet."""
        return frozenset((name, columns) for name, columns in self.asked.items() if name not in self.sources)

    def add(self, name: str, columns: Columns) -> bool:
        """A source of this SELECT; False where the text has asked it for a column that it has not. Of twins the first one counts."""
        if name in self.sources:
            return True
        self.sources[name] = columns
        return columns.holds(self.asked.get(name, ()))

    def give_alias(self, alias: str) -> bool:
        """The source goes by an alias."""
        assert self.unnamed is not None
        (_, columns), self.unnamed = self.unnamed, None
        return self.add(alias, columns)

    def may_go_unnamed(self) -> bool:
        """Whether the text can do without an alias for its last source."""
        return self.unnamed is None or self.unnamed[0] in self.sources or self.unnamed[1].holds(self.asked.get(self.unnamed[0], ()))

    def give_none(self) -> bool:
        """The source that took no alias goes by its own name."""
        unnamed, self.unnamed = self.unnamed, None
        return unnamed is None or self.add(*unnamed)


class Scopes:
    """The frames around the end of a text, and the CTEs of its statement."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self.frames = [Frame("base")]
        self.ctes: dict[str, Columns] = {}
        self.statement = 0  # offset of the statement's first token

    def copy(self) -> Scopes:
        other = Scopes(self._schema)
        other.frames = [frame.copy() for frame in self.frames]
        other.ctes, other.statement = dict(self.ctes), self.statement
        return other

    @property
    def innermost(self) -> Frame:
        return self.frames[-1]

    def end_statement(self, offset: int) -> None:
        self.frames, self.ctes, self.statement = [Frame("base")], {}, offset

    def resolve(self, qualifier: str) -> Columns:
        """The columns behind a qualifier: of a source in scope or of a table yet to be named; free behind an alias yet to be given."""
        for frame in reversed(self.frames):
            if qualifier in frame.sources:
                return frame.sources[qualifier]
        if qualifier.startswith(("#", "@")) or qualifier.lower() in _PSEUDO_TABLES:
            return UNTOLD
        if qualifier in self.ctes:
            return self.ctes[qualifier]
        return self._schema.columns(qualifier) if qualifier in self._schema.tables else FREE

    def ask(self, qualifier: str, column: str) -> None:
        """A column that was asked for; the FROM of an UPDATE or DELETE may still give the qualifier another meaning."""
        frame = self.innermost
        if qualifier not in frame.sources or frame.verb in CHANGES_ROWS:
            frame.ask(qualifier, frozenset((column,)))

    def close(self) -> Frame:
        """Leaves the innermost frame; what it asked of names that are not its own falls to the one around."""
        closed = self.frames.pop()
        for name, columns in closed.asked.items():
            if name not in closed.sources:
                self.innermost.ask(name, columns)
        return closed

    def columns_of_cte(self, text: str, end: int, closing: str, cte: str) -> Columns:
        """The columns of a CTE whose query ends at `end`; `closing` is what it lacks to be whole."""
        return _columns_of(f"{text[self.statement : end]}{closing}\nSELECT * FROM [{cte}]", self._schema)

    def columns_of_derived(self, text: str, start: int, end: int) -> Columns:
        head = text[self.statement : self.frames[0].start] if self.ctes else ""
        return _columns_of(f"{head}\nSELECT * FROM ({text[start:end]}) AS [derived]", self._schema)


def _columns_of(sql: str, schema: Schema) -> Columns:
    """The columns that the last source of a whole text has."""
    statements, errors = parse(sql)
    last = statements[-1] if statements else None
    if errors or not isinstance(last, SelectStatement):
        return UNTOLD
    binding = bind(statements, schema.catalogue)
    outer = next((bound for bound in binding.selects if bound.select is last.query.body), None)
    if outer is None or any(problem.code == "unknown_table" for problem in binding.problems):
        return UNTOLD
    rowset = outer.scope.sources[0].rowset
    names = frozenset(name for name in rowset.outputs if name is not None)
    return FREE if rowset.open else Columns(names, " ".join(["columns", *sorted(names)]))
