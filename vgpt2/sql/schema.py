"""The facts of one database object: columns, keys and what follows from them. Plain frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

COMPANY_TYPE = "bCompany"
GROUP_TYPE = "bGroup"


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: str | None = None  # None where a view computes it and the type cannot be derived
    udt: str | None = None
    length: int | None = None  # characters; -1 is (max)
    precision: int | None = None
    scale: int | None = None
    nullable: bool = True
    identity: bool = False
    source: str | None = None  # 'table.column' it is read from, in views that rename or join
    description: str | None = None

    @property
    def type_text(self) -> str | None:
        """The type as CREATE TABLE writes it: 'varchar(30)', 'numeric(12,2)'; None where it is unknown."""
        if self.type is None:
            return None
        if self.precision is not None:
            return f"{self.type}({self.precision},{self.scale or 0})"
        if self.length is None:
            return self.type
        return f"{self.type}({'max' if self.length < 0 else self.length})"


@dataclass(frozen=True, slots=True)
class ForeignKey:
    from_object: str
    from_columns: tuple[str, ...]
    to_object: str
    to_columns: tuple[str, ...]
    source: str = "constraint"  # or 'inferred': equal names and types over the parent's whole unique key

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """(child column, parent column), in key order."""
        return tuple(zip(self.from_columns, self.to_columns))


@dataclass(frozen=True)
class Object:
    """A table or view."""

    name: str
    kind: str  # 'table' or 'view'
    columns: tuple[Column, ...] = field(repr=False)
    schema: str = "dbo"
    module: str | None = None
    base_table: str | None = None  # of a view that shows one table
    primary_key: tuple[str, ...] = ()
    business_key: tuple[str, ...] = ()  # the shortest unique key without the identity column
    unique_keys: tuple[tuple[str, ...], ...] = ()
    depends_on: tuple[str, ...] = ()
    exposed_by: tuple[str, ...] = ()  # views that show this table
    row_filter: bool = False
    description: str | None = None

    @cached_property
    def column_index(self) -> dict[str, Column]:
        return {column.name: column for column in self.columns}

    @cached_property
    def column_names(self) -> tuple[str, ...]:
        return tuple(self.column_index)

    def has(self, column: str) -> bool:
        return column in self.column_index

    def column(self, name: str) -> Column | None:
        return self.column_index.get(name)

    @cached_property
    def company_column(self) -> str | None:
        """The column that says whose row this is: <module>Co, else Co, else the first company of the business key.

        None for masters that companies share.
        """
        own = f"{self.module}Co"
        if self.module and self.has(own):
            return own
        if self.has("Co"):
            return "Co"
        return next((name for name in self.business_key if self._is_company(name)), None)

    @cached_property
    def group_columns(self) -> tuple[str, ...]:
        """Columns such as VendorGroup, by which companies share masters."""
        return tuple(c.name for c in self.columns if c.udt == GROUP_TYPE or (c.udt is None and c.name.endswith("Group")))

    def _is_company(self, name: str) -> bool:
        column = self.column_index.get(name)
        return column is not None and (column.udt == COMPANY_TYPE or (column.udt is None and name.endswith("Co")))
