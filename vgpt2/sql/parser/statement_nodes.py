"""The tree of a script: its statements, above the queries of nodes.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from vgpt2.sql.parser.nodes import Condition, Cte, Expression, Item, Name, Query, Source, Table, Values


@dataclass(slots=True, eq=False)
class SelectStatement:
    pos: int
    query: Query


@dataclass(slots=True, eq=False)
class Assignment:
    """`column = value` of UPDATE; `column` is None where only a variable is set."""

    pos: int
    column: Name | None
    value: Expression


@dataclass(slots=True, eq=False)
class Insert:
    pos: int
    target: Table
    columns: list[Name]
    source: Query | Values | None  # None for DEFAULT VALUES and EXEC
    ctes: list[Cte] = field(default_factory=list)
    output: list[Item] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Update:
    pos: int
    target: Table
    assignments: list[Assignment]
    sources: list[Source] = field(default_factory=list)
    where: Condition | None = None
    ctes: list[Cte] = field(default_factory=list)
    output: list[Item] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Delete:
    pos: int
    target: Table
    sources: list[Source] = field(default_factory=list)
    where: Condition | None = None
    ctes: list[Cte] = field(default_factory=list)
    output: list[Item] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Merge:
    pos: int
    target: Table
    source: Source
    on: Condition
    whens: list[MergeWhen]
    ctes: list[Cte] = field(default_factory=list)
    output: list[Item] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class MergeWhen:
    pos: int
    test: Condition | None
    assignments: list[Assignment]
    columns: list[Name]
    values: list[Expression]


@dataclass(slots=True, eq=False)
class TableDefinition:
    """CREATE TABLE, ALTER TABLE ADD and DECLARE @t TABLE: a name and its columns, None where they cannot be told."""

    pos: int
    name: Name
    columns: list[str] | None
    adds: bool = False


@dataclass(slots=True, eq=False)
class ViewDefinition:
    pos: int
    name: Name
    columns: list[str] | None
    query: Query


@dataclass(slots=True, eq=False)
class DropTable:
    pos: int
    names: list[Name]


@dataclass(slots=True, eq=False)
class Evaluate:
    """A statement that only evaluates expressions: SET, DECLARE with a value, PRINT, RETURN, EXEC with arguments."""

    pos: int
    expressions: list[Expression]


@dataclass(slots=True, eq=False)
class Branch:
    """IF or WHILE."""

    pos: int
    test: Condition
    then: Statement
    otherwise: Statement | None = None


@dataclass(slots=True, eq=False)
class Block:
    """BEGIN ... END, TRY and CATCH, the body of a procedure."""

    pos: int
    statements: list[Statement]


@dataclass(slots=True, eq=False)
class Opaque:
    """A statement that is legal and holds nothing to check."""

    pos: int


Statement: TypeAlias = (
    SelectStatement | Insert | Update | Delete | Merge | TableDefinition | ViewDefinition | DropTable | Evaluate | Branch | Block | Opaque
)
