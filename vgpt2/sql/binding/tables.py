"""The state of a binding, and how a table name finds what it names: CTE, #temp table, catalogue object or something outside."""

from __future__ import annotations

from collections.abc import Mapping

from vgpt2.sql.binding.scope import UNKNOWN, Bound, Problem, Result, Rowset, Scope, Source, find_column
from vgpt2.sql.catalogue import Catalogue
from vgpt2.sql.parser import nodes as n
from vgpt2.sql.schema import Object

Ctes = Mapping[str, Result]

MAX_SUGGESTIONS = 200  # problems of one text for which the nearest real name is looked up
MAX_LOOKUPS = 3_000_000  # source comparisons: hundreds of times what the longest real text takes

_SYSTEM_DATABASES = frozenset(("master", "msdb", "tempdb", "model"))
_SYSTEM_SCHEMAS = frozenset(("sys", "information_schema"))
_SYSTEM_TABLES = """
    sysobjects syscolumns sysindexes sysindexkeys systypes sysusers syscomments sysprocesses sysdatabases sysfiles sysforeignkeys
    sysreferences sysconstraints sysdepends sysmembers syspermissions sysprotects sysfilegroups syslockinfo sysconfigures syslogins
    sysservers sysjobs dtproperties inserted deleted
"""
_KNOWN_TO_SERVER = frozenset(_SYSTEM_TABLES.split())


class TooMuchWork(Exception):
    """The text asks for more look-ups than MAX_LOOKUPS."""


class Binding:
    """What has been learnt of a text so far."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.problems: list[Problem] = []
        self.selects: list[Bound] = []
        self.calls: list[n.Call] = []
        self.columns: dict[n.Name, tuple[Source, str]] = {}  # where each column was found
        self.tables: dict[str, Rowset] = {}  # made by the text itself: #t, @t, views and tables it creates
        self._lookups = 0
        self._rowsets: dict[str, Rowset] = {}

    def problem(self, code: str, pos: int, name: str, message: str, suggestion: str | None = None) -> None:
        self.problems.append(Problem(code, pos, name, message, suggestion))

    def rowset_of(self, o: Object) -> Rowset:
        """The columns of a catalogue object; one without columns is an object whose columns nobody wrote down."""
        if o.name not in self._rowsets:
            self._rowsets[o.name] = Rowset(o.column_names, open=not o.columns, exact=False, index=o.column_index)
        return self._rowsets[o.name]

    def column(self, name: n.Name, scope: Scope) -> None:
        """Bind a column name, or record what is wrong with it."""
        self._lookups += 1 + sum(len(level.sources) for level in scope.chain())
        if self._lookups > MAX_LOOKUPS:
            raise TooMuchWork
        found = find_column(name, scope, suggest=len(self.problems) < MAX_SUGGESTIONS)
        if isinstance(found, Problem):
            self.problems.append(found)
        elif found is not None:
            self.columns[name] = found


def find_table(b: Binding, table: n.Table, ctes: Ctes) -> Source:
    """The source that a table name gives; an unknown one gives a problem and a source of which nothing more is said."""
    name = table.name
    exposed = table.alias.name if table.alias else name.last
    source = Source(exposed, name.pos, UNKNOWN, table=table)
    if len(name.parts) == 1 and name.last in ctes:
        result = ctes[name.last]
        source.rowset, source.selects = result.rowset, result.selects
    elif name.last in b.tables:
        source.rowset = b.tables[name.last]
    elif not name.last.startswith(("#", "@")) and not _is_outside(name):
        _find_object(b, name, ctes, source)
    return source


def _find_object(b: Binding, name: n.Name, ctes: Ctes, source: Source) -> None:
    """Give the source its catalogue object, or say that there is none."""
    written, pos = name.last, name.positions[-1]
    schema = name.parts[-2] if len(name.parts) > 1 else ""
    found = b.catalogue.get(written) or _shown_table(b, written)
    if found is None and written.lower() not in _KNOWN_TO_SERVER:
        found = _object_or_problem(b, written, pos, ctes if len(name.parts) == 1 else {}, source)
    if found is None:
        return
    if schema and schema.lower() != found.schema.lower():
        correct = f"{found.schema}.{written}"
        b.problem("unknown_table", name.pos, f"{schema}.{written}", f"'{written}' is not in the schema '{schema}'", correct)
    source.object, source.rowset = found, b.rowset_of(found)


def _shown_table(b: Binding, name: str) -> Object | None:
    """A base table that the catalogue holds only through its view has the columns of the view."""
    views = b.catalogue.views_of(name)
    return b.catalogue.get(views[0]) if views else None


def _object_or_problem(b: Binding, written: str, pos: int, ctes: Ctes, source: Source) -> Object | None:
    """The object meant by a name in the wrong case, and the problem; without one, the source is unknown."""
    cte = next((other for other in ctes if other.lower() == written.lower()), None)
    other_case = b.catalogue.ignoring_case(written)
    if cte is None and other_case is None:
        near = b.catalogue.nearest(written, 1) if len(b.problems) < MAX_SUGGESTIONS else []
        b.problem("unknown_table", pos, written, f"there is no table or view '{written}'", near[0] if near else None)
        source.is_unknown = True
        return None
    exact = cte or (other_case.name if other_case else "")
    b.problem("case", pos, written, f"'{written}' is written '{exact}': names are case sensitive", exact)
    if not source.is_aliased:
        source.name, source.written = exact, written
    return other_case if cte is None else None


def _is_outside(name: n.Name) -> bool:
    """Whether the name leads to another server, a system database or a system schema, of which we know nothing."""
    schema = name.parts[-2].lower() if len(name.parts) > 1 else ""
    database = name.parts[-3].lower() if len(name.parts) > 2 else ""
    return len(name.parts) > 3 or database in _SYSTEM_DATABASES or schema in _SYSTEM_SCHEMAS
