"""The tree of a script: its statements, above the queries of nodes.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from vgpt2.sql.parser.nodes import Condition, Cte, Expression, Item, Name, Query, Source, Table, TypeName, Values


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
class ColumnDefinition:
    pos: int
    name: str
    type: TypeName | None = None  # None where it is computed, and where none is written
    nullable: bool | None = None  # None where the definition does not say
    identity: bool = False
    comment: str | None = None


@dataclass(slots=True, eq=False)
class KeyDefinition:
    """A key of a table: as a constraint, at a column, or as a unique index."""

    pos: int
    kind: str  # 'PRIMARY KEY', 'UNIQUE' or 'FOREIGN KEY'
    columns: list[str]
    clustered: bool | None = None  # None where the definition does not say
    parent: Name | None = None  # of a foreign key
    parent_columns: list[str] = field(default_factory=list)  # empty: the parent's primary key


@dataclass(slots=True, eq=False)
class TableDefinition:
    """CREATE TABLE, ALTER TABLE and DECLARE @t TABLE: a name, its columns and its keys."""

    pos: int
    name: Name
    columns: list[ColumnDefinition] = field(default_factory=list)
    keys: list[KeyDefinition] = field(default_factory=list)
    adds: bool = False  # ALTER TABLE: what it says is added to what is there
    changes: list[ColumnDefinition] = field(default_factory=list)  # of ALTER COLUMN
    drops: list[str] = field(default_factory=list)
    comment: str | None = None


@dataclass(slots=True, eq=False)
class IndexDefinition:
    """CREATE UNIQUE INDEX."""

    pos: int
    table: Name
    key: KeyDefinition


@dataclass(slots=True, eq=False)
class TypeDefinition:
    """CREATE TYPE ... FROM ...: a name for a type."""

    pos: int
    name: Name
    type: TypeName
    nullable: bool | None = None


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
    SelectStatement
    | Insert
    | Update
    | Delete
    | Merge
    | TableDefinition
    | IndexDefinition
    | TypeDefinition
    | ViewDefinition
    | DropTable
    | Evaluate
    | Branch
    | Block
    | Opaque
)
