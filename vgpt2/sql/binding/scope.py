"""Names in scope: what each source of a FROM clause exposes, and how a column name finds its source.

One Scope per SELECT. Its parent is the scope that a correlated sub-query sees; a derived table has the parent of the SELECT around it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from vgpt2.sql.names import NameIndex
from vgpt2.sql.parser import nodes as n
from vgpt2.sql.schema import Object


class Rowset:
    """The columns of a table or query. `open`: there may be others, because something about it is unknown.

    `exact`: their number can be relied on. A catalogue may leave out columns that a site has added, which a star would return.
    """

    __slots__ = ("_near", "exact", "index", "open", "outputs")

    def __init__(
        self, outputs: Sequence[str | None], *, open: bool = False, exact: bool = True, index: Mapping[str, object] | None = None
    ) -> None:
        self.exact = exact and not open
        self.outputs = outputs  # in order; None for a column without a name
        self.open = open
        self.index: Mapping[str, object] = dict.fromkeys(name for name in outputs if name is not None) if index is None else index
        self._near: NameIndex | None = None

    def has(self, name: str) -> bool:
        return name in self.index

    def ignoring_case(self, name: str) -> str | None:
        lower = name.lower()
        return next((real for real in self.index if real.lower() == lower), None)

    def nearest(self, name: str) -> list[str]:
        """The nearest column name, if any is near."""
        if self._near is None:
            self._near = NameIndex(self.index)
        return self._near.nearest(name, 1)


UNKNOWN = Rowset((), open=True)


@dataclass(slots=True, eq=False)
class Source:
    """What one element of a FROM clause exposes, under one name."""

    name: str
    pos: int
    rowset: Rowset
    object: Object | None = None  # of the catalogue
    table: n.Table | None = None
    written: str | None = None  # the name in the text, where it is the right one but for its case
    is_unknown: bool = False  # no such table: nothing more is said about its names
    selects: tuple[Bound, ...] = ()  # behind a derived table or CTE: the branches of its query

    @property
    def is_aliased(self) -> bool:
        return self.table is not None and self.table.alias is not None

    @property
    def table_name(self) -> str | None:
        return self.table.name.last if self.table else None


@dataclass(slots=True, eq=False)
class Scope:
    sources: list[Source] = field(default_factory=list)
    parent: Scope | None = None

    def chain(self) -> Iterator[Scope]:
        """This scope and those around it, innermost first."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent


@dataclass(slots=True, eq=False)
class Bound:
    """A SELECT whose names are bound: what the rules look at."""

    select: n.Select
    scope: Scope
    inner: list[n.Condition] = field(default_factory=list)  # ON of inner joins, which filter like WHERE
    outer: list[n.Condition] = field(default_factory=list)  # ON of outer joins
    outputs: list[tuple[str | None, n.Expression | n.Star]] = field(default_factory=list)
    order_by: list[n.OrderItem] = field(default_factory=list)


@dataclass(slots=True)
class Result:
    """What a query returns, and the SELECTs it consists of."""

    rowset: Rowset
    selects: tuple[Bound, ...] = ()


@dataclass(frozen=True, slots=True)
class Problem:
    """A finding before it has a severity and a line."""

    code: str
    pos: int
    name: str
    message: str
    suggestion: str | None = None


def find_column(name: n.Name, scope: Scope, *, suggest: bool = True) -> tuple[Source, str] | Problem | None:
    """The source of a column and the column; the problem when there is none; None where something unknown may hold it.

    `suggest`: look for the nearest real name, too.
    """
    if name.last.startswith("$") or name.last.upper() in ("IDENTITYCOL", "ROWGUIDCOL"):
        return None
    return _unqualified(name, scope, suggest) if len(name.parts) == 1 else _qualified(name, scope, suggest)


def _unqualified(name: n.Name, scope: Scope, suggest: bool) -> tuple[Source, str] | Problem | None:
    column = name.last
    for level in scope.chain():
        hits = [source for source in level.sources if source.rowset.has(column)]
        if len(hits) > 1:
            tables = " and ".join(f"'{source.name}'" for source in hits[:3])
            return Problem("ambiguous_column", name.pos, column, f"'{column}' is a column of {tables}", f"{hits[0].name}.{column}")
        if hits:
            return hits[0], column
        if any(source.rowset.open for source in level.sources):
            return None
    return _no_such_column(name, [source for level in scope.chain() for source in level.sources], suggest)


def _qualified(name: n.Name, scope: Scope, suggest: bool) -> tuple[Source, str] | Problem | None:
    qualifier, column = name.parts[-2], name.last
    for level in scope.chain():
        for source in level.sources:
            if qualifier in (source.name, source.written) and not (len(name.parts) > 2 and source.is_aliased):
                if source.rowset.has(column):
                    return source, column
                return None if source.rowset.open else _no_such_column(name, [source], suggest)
    if len(name.parts) > 2 and (owner := _owner_of_property(name, scope)):
        return owner
    return _no_such_qualifier(name, scope)


def _owner_of_property(name: n.Name, scope: Scope) -> tuple[Source, str] | None:
    """`T.c.Lat`: a property of the column c, where no table called c is in scope."""
    for level in scope.chain():
        for source in level.sources:
            if source.name == name.parts[0] and source.rowset.has(name.parts[1]):
                return source, name.parts[1]
    return None


def _no_such_column(name: n.Name, sources: Sequence[Source], suggest: bool) -> Problem:
    column, pos = name.last, name.positions[-1]
    for source in sources:
        exact = source.rowset.ignoring_case(column)
        if exact is not None:
            return Problem("case", pos, column, f"'{column}' is written '{exact}' in '{source.name}': names are case sensitive", exact)
    candidates = [found for source in sources for found in source.rowset.nearest(column)] if suggest else []
    near = NameIndex(candidates).nearest(column, 1)
    owner = f"'{sources[0].name}' has no column" if len(sources) == 1 else "no table in scope has a column"
    return Problem("unknown_column", pos, column, f"{owner} '{column}'", near[0] if near else None)


def _no_such_qualifier(name: n.Name, scope: Scope) -> Problem | None:
    """The problem of a qualifier that is not in scope; none beside an unknown table, which it may have been meant for."""
    qualifier, pos = name.parts[-2], name.positions[-2]
    sources = [source for level in scope.chain() for source in level.sources]
    if any(source.is_unknown and not source.is_aliased for source in sources):
        return None
    for source in sources:
        if source.table_name == qualifier and source.is_aliased:
            message = f"'{qualifier}' is called '{source.name}' in this query"
            return Problem("unknown_qualifier", pos, qualifier, message, source.name)
    for source in sources:
        if source.name.lower() == qualifier.lower():
            message = f"'{qualifier}' is written '{source.name}' in this query: names are case sensitive"
            return Problem("case", pos, qualifier, message, source.name)
    having = next((source.name for source in sources if source.rowset.has(name.last)), None)
    message = f"no table called '{qualifier}' is in scope here"
    near = [having] if having else NameIndex(source.name for source in sources).nearest(qualifier, 1)
    return Problem("unknown_qualifier", pos, qualifier, message, near[0] if near else None)
