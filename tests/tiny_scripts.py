"""SQL Server scripts written from a catalogue, in the ways that client tools write them, and what an importer should make of them.

One file an object, half of them UTF-8 and half UTF-16, with GO batches, comments, triggers and procedures between.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field, replace
from pathlib import Path

from vgpt2.sql.catalogue import Catalogue, Column, ForeignKey, Object

ENCODINGS = ("utf-8", "utf-16", "utf-8-sig", "utf-16-be")  # utf-16 is little-endian with its mark
TRIGGER = """
/* a trigger, and in this comment
GO
is no separator */
CREATE TRIGGER [dbo].[{name}i] ON [dbo].[{name}] FOR INSERT AS
BEGIN
    CREATE TABLE dbo.NotThere (a int)  -- it's never made
    IF EXISTS (SELECT 1 FROM inserted) PRINT 'GO'
END
GO
"""
PROCEDURE = """SET QUOTED_IDENTIFIER ON
GO
-- a report, which isn't a table
create proc [dbo].[{name}] (@co bCompany = null, @text varchar(10) output) as
set nocount on
create table #work (Co tinyint, Amt numeric(12,2))
insert into #work select 1, 2
select @text = 'CREATE TABLE x (a int)'
return 0
GO
GRANT EXECUTE ON [dbo].[{name}] TO [public]
GO
"""


@dataclass
class Written:
    """What was written, and what should come back."""

    objects: dict[str, Object] = field(default_factory=dict)
    foreign_keys: set[ForeignKey] = field(default_factory=set)
    n_files: int = 0
    n_procedures: int = 0
    n_triggers: int = 0
    n_restated: int = 0  # columns whose facts no plain query gives: expected as the query gives them


def closure(catalogue: Catalogue, modules: set[str]) -> Catalogue:
    """The objects of some modules and everything that they read."""
    names = {o.name for o in catalogue.objects.values() if o.module in modules}
    while True:
        more = {d for name in names for d in (*catalogue.objects[name].depends_on, catalogue.objects[name].base_table or name)}
        if more <= names:
            break
        names |= more
    return Catalogue(
        [replace(o, exposed_by=tuple(v for v in o.exposed_by if v in names)) for o in catalogue.objects.values() if o.name in names],
        [key for key in catalogue.foreign_keys if key.from_object in names and key.to_object in names],
    )


def write(catalogue: Catalogue, types_file: Path, folder: Path, *, seed: int = 1) -> Written:
    """Write all objects of the catalogue and its stated foreign keys."""
    rng = random.Random(seed)
    written = Written()
    texts = {"0 types.sql": _types(json.loads(types_file.read_text("utf-8")))}
    keys: dict[str, list[ForeignKey]] = {}
    for key in catalogue.foreign_keys:
        if key.source == "constraint":
            written.foreign_keys.add(key)
            child, parent = catalogue.base_of(key.from_object), catalogue.base_of(key.to_object)
            columns, parents = _of_table(catalogue, key.from_object, key.from_columns), _of_table(catalogue, key.to_object, key.to_columns)
            keys.setdefault(child, []).append(ForeignKey(child, columns, parent, parents))
    for o in _lowest_first(catalogue):
        if o.kind == "table":
            text, expected = _table(o, rng)
            text += "".join(_foreign_key(key, i) for i, key in enumerate(keys.get(o.name, ())))
            if rng.random() < 0.4:
                text += TRIGGER.format(name=o.name)
                written.n_triggers += 1
        else:
            text, expected = _view(o, catalogue, written)
        texts[f"{rng.randrange(10)}/dbo.{o.name}.sql"] = HEAD.format(name=o.name) + text
        written.objects[o.name] = expected
    for n in range(len(texts) // 8):
        texts[f"procs/p{n}.sql"] = PROCEDURE.format(name=f"bsp{n}")
        written.n_procedures += 1
    for n, (name, text) in enumerate(sorted(texts.items())):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        encoding = ENCODINGS[n % 4]
        data = text.replace("\n", "\r\n").encode(encoding)
        path.write_bytes(b"\xfe\xff" + data if encoding == "utf-16-be" else data)
    written.n_files = len(texts)
    return written


def _of_table(catalogue: Catalogue, name: str, columns: tuple[str, ...]) -> tuple[str, ...]:
    """The table's names for columns of a view that shows it."""
    index = catalogue.objects[name].column_index
    return tuple((index[column].source or f".{column}").partition(".")[2] for column in columns)


def _lowest_first(catalogue: Catalogue) -> list[Object]:
    """Objects behind everything that they read."""
    ordered: dict[str, Object] = {}
    pending = dict(catalogue.objects)
    while pending:
        ready = [o for o in pending.values() if all(name in ordered for name in o.depends_on)]
        ordered |= {o.name: o for o in ready}
        for o in ready:
            del pending[o.name]
    return list(ordered.values())


HEAD = """/****** Object:  [dbo].[{name}]    Script Date: 01/02/2014 10:11:12 ******/
SET ANSI_NULLS ON
GO
SET QUOTED_IDENTIFIER OFF
GO
"""


def _types(rows: list[dict]) -> str:
    lines = []
    for n, row in enumerate(rows):
        text = Column("x", row["type"], length=row.get("length"), precision=row.get("precision"), scale=row.get("scale")).type_text
        if n % 2:
            lines.append(f"EXEC dbo.sp_addtype N'{row['udt']}', N'{text}', N'{'null' if row['nullable'] else 'not null'}'\nGO")
        else:
            lines.append(f"CREATE TYPE [dbo].[{row['udt']}] FROM {text} {'NULL' if row['nullable'] else 'NOT NULL'}\nGO")
    return "\n".join(lines)


def _table(o: Object, rng: random.Random) -> tuple[str, Object]:
    """The definition; the primary key as a constraint inside or behind, or as a clustered index where its columns may be NULL."""
    lines = [_column(c, rng) for c in o.columns]
    behind = ""
    table = f"[dbo].[{o.name}]"
    may_be_null = any(o.column_index[name].nullable for name in o.primary_key)
    for n, key in enumerate(o.unique_keys):
        columns = ", ".join(f"[{name}] ASC" for name in key)
        if key == o.primary_key:
            if may_be_null:
                behind += f"CREATE UNIQUE CLUSTERED INDEX [bi{o.name}] ON {table} ({columns}) WITH (FILLFACTOR = 90) ON [PRIMARY]\nGO\n"
            elif len(key) == 1 and rng.random() < 0.5:
                i = next(i for i, c in enumerate(o.columns) if c.name == key[0])
                lines[i] += f" CONSTRAINT [PK_{o.name}] PRIMARY KEY CLUSTERED"
            elif rng.random() < 0.5:
                lines.append(f" CONSTRAINT [PK_{o.name}] PRIMARY KEY CLUSTERED \n(\n\t{columns}\n)WITH (PAD_INDEX  = OFF) ON [PRIMARY]")
            else:
                behind += f"ALTER TABLE {table} WITH NOCHECK ADD CONSTRAINT [PK_{o.name}] PRIMARY KEY NONCLUSTERED ({columns})\nGO\n"
        elif rng.random() < 0.5:
            behind += f"ALTER TABLE {table} ADD CONSTRAINT [UQ{n}_{o.name}] UNIQUE NONCLUSTERED ({columns}) ON [PRIMARY]\nGO\n"
        else:
            behind += f"CREATE UNIQUE NONCLUSTERED INDEX [bi{n}{o.name}] ON {table} ({columns}) INCLUDE ([{o.columns[0].name}])\nGO\n"
    if rng.random() < 0.3:
        first = o.columns[0].name
        behind += f"ALTER TABLE {table} ADD CONSTRAINT [DF_{o.name}] DEFAULT ((0)) FOR [{first}], CHECK ([{first}] <> 'x,)')\nGO\n"
    return f"CREATE TABLE {table}(\n\t" + ",\n\t".join(lines) + "\n) ON [PRIMARY]\n\nGO\n" + behind, o


def _column(c: Column, rng: random.Random) -> str:
    if c.type is None:
        return f"[{c.name}] AS (1 + (2)) PERSISTED"
    type_ = f"[dbo].[{c.udt}]" if c.udt else c.type_text or ""
    words = [f"[{c.name}]", type_, "IDENTITY(1,1)" if c.identity else "", "NULL" if c.nullable else "NOT NULL"]
    if rng.random() < 0.2 and not c.identity:
        words.insert(2, "COLLATE Latin1_General_BIN") if "char" in c.type else None
        words.append(f"CONSTRAINT [DF__{c.name}] DEFAULT (isnull(getdate(), ('')))")
    return " ".join(filter(None, words))


def _foreign_key(key: ForeignKey, n: int) -> str:
    columns, parents = (", ".join(f"[{name}]" for name in names) for names in (key.from_columns, key.to_columns))
    return (
        f"ALTER TABLE [dbo].[{key.from_object}]  WITH NOCHECK ADD  CONSTRAINT [FK{n}_{key.from_object}] FOREIGN KEY({columns})\n"
        f"REFERENCES [dbo].[{key.to_object}] ({parents}) ON UPDATE CASCADE\nON DELETE SET NULL\nGO\n"
    )


def _view(o: Object, catalogue: Catalogue, written: Written) -> tuple[str, Object]:
    sources = _Sources(o, catalogue, written.objects)
    items, columns = [], []
    for c in o.columns:
        text, expected = _item(c, o, sources)
        written.n_restated += expected != c and replace(expected, description=None) != replace(c, description=None)
        items.append(text)
        columns.append(expected)
    base = catalogue.get(o.base_table or "")
    if base and o.column_names == base.column_names and not any(c.source for c in o.columns) and all(c.type for c in o.columns):
        items = [f"{sources.first}.*"]
    where = "\nWHERE 1 = 1 -- rows of some kind" if o.row_filter else ""
    distinct = "" if o.base_table else "DISTINCT "  # what shows no table may still read one alone
    reads = f"\nFROM {sources.text()}" if sources.names else ""
    text = f"CREATE VIEW [dbo].[{o.name}] AS\nSELECT {distinct}" + ",\n  ".join(items) + f"{reads}{where}\nGO\n"
    return text, replace(o, columns=tuple(columns), depends_on=tuple(sorted(sources.names)))


class _Sources:
    """The FROM clause of a view: what it reads, and once more on the far side of an outer join where columns may be NULL."""

    def __init__(self, o: Object, catalogue: Catalogue, written: dict[str, Object]) -> None:
        self._catalogue = catalogue
        self._written = written
        self._o = o
        shown = [name for name in o.depends_on if catalogue.base_of(name) == o.base_table]
        self._strong = {name: f"s{i}" for i, name in enumerate(shown[:1] if o.base_table else o.depends_on)}
        self._weak: dict[str, str] = {}

    @property
    def names(self) -> set[str]:
        return {*self._strong, *self._weak}

    @property
    def first(self) -> str:
        return next(iter(self._strong.values()))

    def column(self, origin: str, nullable: bool) -> tuple[str, Column] | None:
        """(text, column read) for 'table.column'; None where nothing that the view reads shows it."""
        for read in self._strong:
            other = self._written[read]
            for c in other.columns:
                if (c.source or f"{self._catalogue.base_of(read)}.{c.name}") == origin and c.type is not None:
                    if nullable and not c.nullable and not self._o.base_table:
                        alias = self._weak.setdefault(read, f"w{len(self._weak)}")
                        return f"{alias}.[{c.name}]", replace(c, nullable=True)
                    return f"{self._strong[read]}.[{c.name}]", c
        return None

    def text(self) -> str:
        tables = [f"[dbo].[{name}] AS {alias} WITH (NOLOCK)" for name, alias in self._strong.items()]
        outer = [f"LEFT OUTER JOIN dbo.{name} {alias} ON 1 = 1" for name, alias in self._weak.items()]
        return "\nCROSS JOIN ".join(tables) + "".join(f"\n{join}" for join in outer)


def _item(c: Column, o: Object, sources: _Sources) -> tuple[str, Column]:
    """An element of the select list, and the column it makes."""
    origin = c.source or (f"{o.base_table}.{c.name}" if o.base_table else None)
    read = sources.column(origin, c.nullable) if origin and c.type is not None else None
    if read is not None:
        text, found = read
        kept = c.source if c.source or not o.base_table else None
        made = replace(found, name=c.name, source=kept, description=None, identity=found.identity and bool(o.base_table))
        return f"{text} AS [{c.name}]" if found.name != c.name or len(c.name) % 2 else text, made
    if c.type is None:
        return f"[{c.name}] = CASE WHEN 1 = 2 THEN 'x' ELSE 'y' END", Column(c.name)
    made = replace(c, udt=None, source=None, identity=False, description=None)
    cast = f"CAST(NULL AS {c.type_text})"
    return f"{cast if c.nullable else f'ISNULL({cast}, 0)'} AS '{c.name}'", made
