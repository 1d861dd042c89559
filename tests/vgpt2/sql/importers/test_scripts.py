"""Scripts to catalogues: round trips of real schemas, the DDL of four databases, and what is said about the rest."""

from __future__ import annotations

import os
import random
from functools import cache
from pathlib import Path

import pytest
import tiny_scripts
from hypothesis import given, settings
from hypothesis import strategies as st

from vgpt2.sql.catalogue import Catalogue, Column, ForeignKey, load_catalogue
from vgpt2.sql.importers.assemble import assemble
from vgpt2.sql.importers.scripts import Statements, read_file, read_folder

ROOT = Path(__file__).parents[4]
SCRIPTS = Path(__file__).with_name("scripts")
FULL = Path(os.environ.get("VGPT2_FULL_CATALOGUE", ROOT.parent / "shared" / "data" / "vista"))
needs_full = pytest.mark.skipif(
    not (FULL / "types.json").exists(), reason="the full catalogue is not here; VGPT2_FULL_CATALOGUE names its folder"
)
SEVERAL_MODULES = {"AP", "AR", "CM", "GL", "HQ", "IN"}
# two tables whose key the full catalogue lists in the order of its index, where all others follow their columns; and a view upon one
OTHER_ORDER = {"bINMT", "INMT", "vWFChecklists", "WFChecklists"}


def catalogue_of(sql: str, **options: str) -> Catalogue:
    statements = Statements()
    statements.read(sql, "x.sql")
    return assemble(statements.drafts(), **options)


@cache
def fixture(name: str) -> tuple[Catalogue, list[str]]:
    drafts = read_file(SCRIPTS / f"{name}.sql")
    catalogue = assemble(drafts, modules="names")
    return catalogue, [f"{place}: {reason}" for place, reason in drafts.unread]


def column(name: str, path: str) -> Column:
    table, _, wanted = path.partition(".")
    found = fixture(name)[0].objects[table].column(wanted)
    assert found is not None
    return found


def assert_same(got: Catalogue, written: tiny_scripts.Written) -> None:
    """Object by object, column by column, key by key."""
    assert set(got.objects) == set(written.objects)
    for name, expected in written.objects.items():
        o = got.objects[name]
        for fact in ("kind", "schema", "module", "base_table", "row_filter", "primary_key", "unique_keys", "depends_on", "exposed_by"):
            assert (name, fact, getattr(o, fact)) == (name, fact, getattr(expected, fact))
        assert o.columns == expected.columns, name
        if o.kind == "table" and name not in OTHER_ORDER:
            assert (name, o.business_key) == (name, expected.business_key)
    assert {key for key in got.foreign_keys if key.source == "constraint"} == written.foreign_keys


@needs_full
def test_a_folder_of_scripts_in_both_encodings_comes_back_as_the_catalogue_it_was_written_from(tmp_path: Path) -> None:
    source = tiny_scripts.closure(load_catalogue(FULL), SEVERAL_MODULES)
    written = tiny_scripts.write(source, FULL / "types.json", tmp_path)
    assert written.n_files >= 500
    drafts = read_folder(tmp_path)
    assert_same(assemble(drafts, modules="names"), written)
    assert drafts.unread == []
    assert drafts.n_files == written.n_files
    assert drafts.ignored == {"procedures": written.n_procedures, "triggers": written.n_triggers}
    assert drafts.n_types == 96


@needs_full
@pytest.mark.slow
def test_all_objects_of_the_full_catalogue_come_back(tmp_path: Path) -> None:
    written = tiny_scripts.write(load_catalogue(FULL), FULL / "types.json", tmp_path, seed=2)
    drafts = read_folder(tmp_path)
    assert_same(assemble(drafts, modules="names"), written)
    assert drafts.unread == []


@needs_full
def test_the_order_of_the_scripts_does_not_matter(tmp_path: Path) -> None:
    source = tiny_scripts.closure(load_catalogue(FULL), {"CM"})
    tiny_scripts.write(source, FULL / "types.json", tmp_path)
    texts = [(path.read_bytes(), path) for path in sorted(tmp_path.rglob("*.sql"))]
    before = assemble(read_folder(tmp_path))
    random.Random(3).shuffle(texts)
    other = tmp_path / "other"
    other.mkdir()
    for n, (data, path) in enumerate(texts):
        (other / f"{n:04}.sql").write_bytes(data)
        path.unlink()
    after = assemble(read_folder(other))
    assert after.objects == before.objects  # dicts compare without their order
    assert set(before.foreign_keys) == set(after.foreign_keys)


def test_a_script_of_sql_servers_tools_gives_types_keys_and_descriptions() -> None:
    catalogue, unread = fixture("ssms")
    header = catalogue.objects["bAPTH"]
    assert column("ssms", "bAPTH.APCo") == Column("APCo", "tinyint", "bCompany", nullable=False)
    assert column("ssms", "bAPTH.Desc") == Column("Desc", "varchar", "bDesc", length=30)
    assert column("ssms", "bAPTH.Amt") == Column("Amt", "numeric", precision=12, scale=2, nullable=False, description="It's a header")
    assert column("ssms", "bAPTH.Tot") == Column("Tot")
    assert column("ssms", "bAPTH.Notes") == Column("Notes", "varchar", length=-1)
    assert column("ssms", "bAPTH.KeyID") == Column("KeyID", "bigint", nullable=False, identity=True)
    assert (header.module, header.primary_key, header.business_key) == ("AP", ("APCo", "Mth", "APTrans"), ("APCo", "Mth", "APTrans"))
    assert header.unique_keys == (("APCo", "Mth", "APTrans"), ("KeyID",))
    assert catalogue.objects["bAPVM"].column_names == ("Vendor", "Name", "Extra")
    assert catalogue.foreign_keys == (ForeignKey("APTH", ("Vendor",), "APVM", ("Vendor",)),)
    assert "NotThere" not in catalogue.objects
    assert unread == [
        "ssms.sql:42: expected an expression, found 'FROM'",
        "ssms.sql:44: view 'un': some columns cannot be told; there is no table or view 'nowhere'",
    ]


def test_a_view_inside_a_string_for_sp_executesql_is_read_and_one_that_cannot_be_read_keeps_its_name() -> None:
    catalogue, _ = fixture("ssms")
    assert catalogue.objects["late"].column_names == ("q", "Vendor")
    assert catalogue.objects["bad"].columns == ()


def test_mysqls_dump_is_read() -> None:
    catalogue, unread = fixture("mysql")
    assert unread == []
    customers, lines = catalogue.objects["customers"], catalogue.objects["order lines"]
    assert customers.description == "who buys"
    assert column("mysql", "customers.id") == Column(
        "id", "int unsigned", nullable=False, identity=True, description="number, it's given once"
    )
    assert column("mysql", "customers.name") == Column("name", "varchar", length=80, nullable=False, description="full name")
    assert column("mysql", "customers.kind").type == "enum"
    assert (customers.primary_key, customers.business_key) == (("id",), ("name", "kind"))
    assert lines.column_names == ("order", "line", "customer", "note")
    assert column("mysql", "order lines.line") == Column("line", "int", nullable=False)
    assert lines.primary_key == ("order", "line")
    assert catalogue.foreign_keys == (ForeignKey("order lines", ("customer",), "customers", ("id",)),)


def test_postgresqls_dump_is_read() -> None:
    catalogue, unread = fixture("postgres")
    assert unread == []
    assert set(catalogue.objects) == {"customers", "lines", "buyers", "after_all"}
    customers = catalogue.objects["customers"]
    assert (customers.schema, customers.description, customers.unique_keys) == ("shop", "who buys", (("id",), ("user", "name")))
    assert column("postgres", "customers.name") == Column("name", "varchar", length=80, nullable=False, description="full name")
    assert column("postgres", "customers.changed").type == "timestamp with time zone"
    assert column("postgres", "lines.no").identity
    assert catalogue.objects["lines"].unique_keys == (("id",),)
    assert catalogue.foreign_keys == (ForeignKey("lines", ("customer_id",), "customers", ("id",)),)
    assert column("postgres", "buyers.name").source == "customers.name"


def test_sqlites_script_is_read_and_its_comments_are_descriptions() -> None:
    catalogue, unread = fixture("sqlite")
    assert unread == []
    assert set(catalogue.objects) == {"word", "use_of", "last", "both"}
    assert catalogue.objects["word"].description == "Words of a dictionary"
    assert column("sqlite", "word.key") == Column("key", "text", nullable=False, description="how it is written")
    assert column("sqlite", "word.body") == Column("body", description='what it means; it\'s free text, "quoted" or not')
    assert column("sqlite", "word.rank").description == "place in the list"
    assert catalogue.objects["use_of"].unique_keys == (("word_key", "line"),)
    assert catalogue.foreign_keys == (ForeignKey("use_of", ("word_key",), "word", ("key",)),)
    assert catalogue.objects["both"].column_names == ("key", "body", "rank", "group", "line")
    assert column("sqlite", "both.line").nullable


def test_a_key_may_come_before_its_table_and_a_column_may_be_changed_and_dropped() -> None:
    catalogue = catalogue_of(
        "ALTER TABLE T ADD CONSTRAINT pk PRIMARY KEY (A), UNIQUE (B)\nGO\n"
        "ALTER TABLE T ALTER COLUMN B varchar(9) NOT NULL\nGO\nALTER TABLE T DROP COLUMN C\nGO\n"
        "CREATE TABLE T (A int, B int, C int)"
    )
    assert catalogue.objects["T"].columns == (Column("A", "int", nullable=False), Column("B", "varchar", length=9, nullable=False))
    assert catalogue.objects["T"].unique_keys == (("A",), ("B",))


def test_without_a_primary_key_the_clustered_unique_index_stands_in() -> None:
    catalogue = catalogue_of("CREATE TABLE T (A int, B int) CREATE UNIQUE INDEX i ON T (A) CREATE UNIQUE CLUSTERED INDEX j ON T (B)")
    assert catalogue.objects["T"].primary_key == ("B",)
    assert catalogue_of("CREATE TABLE T (A int) CREATE UNIQUE INDEX i ON T (A)").objects["T"].primary_key == ()


def test_a_filtered_index_and_an_index_that_is_not_unique_are_no_keys() -> None:
    catalogue = catalogue_of("CREATE TABLE T (A int, B int) CREATE UNIQUE INDEX i ON T (A) WHERE B > 0 CREATE INDEX j ON T (B)")
    assert catalogue.objects["T"].unique_keys == ()


@pytest.mark.parametrize(
    "text",
    [
        "IF OBJECT_ID('T') IS NULL BEGIN CREATE TABLE T (A int) END",
        "DROP TABLE T CREATE TABLE T (A int) INSERT INTO T VALUES (1)",
        "USE master; SET ANSI_NULLS ON; CREATE TABLE dbo.T (A int);",
        "CREATE TABLE #t (A int) CREATE TABLE T (A int)",
        "EXEC('CREATE TABLE U (A int)') CREATE TABLE T (A int)",
        "CREATE TABLE T (A int) GRANT SELECT ON T TO public",
        "CREATE PROC p AS CREATE TABLE U (A int)\nGO\nCREATE TABLE T (A int)",
        "print 'GO'\nGO\n/*\nGO\n*/ CREATE TABLE T (A int)",
        "CREATE TABLE T (A int) ON [PRIMARY] WITH (DATA_COMPRESSION = PAGE)",
        "ALTER TABLE U NOCHECK CONSTRAINT ALL CREATE TABLE T (A int)",
        "CREATE TYPE x AS TABLE (B int) CREATE TABLE T (A int)",
        "CREATE INDEX TYPE ON U (B) CREATE TABLE T (A int)",
    ],
)
def test_tables_are_found_wherever_a_script_makes_them(text: str) -> None:
    assert {name: o.columns for name, o in catalogue_of(text).objects.items()} == {"T": (Column("A", "int"),)}


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("CREATE TABLE T (A int\nGO\nCREATE TABLE U (A int)", "x.sql:2", "expected ), found the end"),
        ("\n\nCREATE TABLE T (A int, (B int))", "x.sql:3", "expected a column, found '('"),
        ("CREATE TABLE T (A int)\nCREATE TABLE T (B int)", "x.sql:2", "table 'T' is defined before, at x.sql:1; the first is kept"),
        ("CREATE VIEW V AS SELECT 1 AS A\nGO\nCREATE VIEW V AS SELECT 2 AS B", "x.sql:3", "view 'V' is defined before"),
        ("CREATE VIEW V AS SELECT 1 AS A LIMIT 5", "x.sql:1", "its query ends before 'LIMIT', which is not read"),
        ("CREATE TABLE T (A int)\nGO\nCREATE VIEW T AS SELECT 1 AS A", "x.sql:3", "view 'T' is defined before, at x.sql:1"),
        ("ALTER TABLE T ADD A int", "x.sql:1", "changes 'T', which no script makes"),
        ("CREATE TABLE T (A int, PRIMARY KEY (B))", "x.sql:1", "a key of 'T' has the column 'B', which the table does not have"),
        ("CREATE TABLE T (A int REFERENCES U (A))", "x.sql:1", "points at 'U', which is not there"),
        ("CREATE TABLE T (A int REFERENCES T (Z))", "x.sql:1", "does not fit the columns of 'T'"),
        ("CREATE VIEW A AS SELECT * FROM B\nGO\nCREATE VIEW B AS SELECT * FROM A", "x.sql:1", "reads itself through other views"),
        ("CREATE VIEW V (A, B) AS SELECT 1", "x.sql:1", "lists 2 columns, its query returns 1"),
        ("CREATE VIEW V AS SELECT 1 AS A, 2", "x.sql:1", "column 2 has no name"),
        ("CREATE TABLE T (A int) /* never closed", "x.sql:1", None),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(text: str, place: str, reason: str | None) -> None:
    statements = Statements()
    statements.read(text, "x.sql")
    drafts = statements.drafts()
    assemble(drafts)
    if reason is None:
        assert drafts.objects["T"].columns
    else:
        assert (drafts.unread[0].place, reason in drafts.unread[0].reason) == (place, True), drafts.unread


PIECES = st.sampled_from(
    ["CREATE ", "TABLE ", "VIEW ", "T ", "[a b] ", "(", ")", ",", "int ", "PRIMARY KEY ", "REFERENCES ", "AS ", "SELECT * FROM ", "\nGO\n"]
    + ["'", '"', "[", "/*", "*/", "--", "$$", "`", "EXEC sp_addtype ", "sp_addextendedproperty ", "N'x'", "TRIGGER ", "BEGIN ", "END ", ";"]
    + ["ALTER ", "ADD ", "CONSTRAINT ", "UNIQUE ", "INDEX i ON ", "DEFAULT ", "COMMENT ON ", "IS ", "TYPE ", "FROM ", "\0", "é", "@x=", "."]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=40).map("".join), st.booleans())
def test_no_text_raises(text: str, is_plain: bool) -> None:
    statements = Statements(is_plain=is_plain)
    statements.read(text, "x.sql")
    assemble(statements.drafts(), modules="names")


@pytest.mark.parametrize("name", ["ssms", "mysql", "postgres", "sqlite"])
def test_no_script_cut_short_raises(name: str) -> None:
    text = (SCRIPTS / f"{name}.sql").read_text("utf-8")
    for end in range(0, len(text), 7):
        statements = Statements(is_plain=True)
        statements.read(text[:end], "x.sql")
        assemble(statements.drafts())


def test_deep_nesting_and_long_lists_come_to_an_end() -> None:
    columns = ", ".join(f"c{n} int DEFAULT {'(' * 300}1{')' * 300}" for n in range(200))
    deep, wide = "(" * 500 + "1" + ")" * 500, ", ".join(f"c{n}" for n in range(200))
    batches = [f"CREATE TABLE T ({columns})", f"CREATE VIEW V AS SELECT {deep} AS A", f"CREATE VIEW W AS SELECT {wide} FROM T"]
    catalogue = catalogue_of("\nGO\n".join(batches))
    assert len(catalogue.objects["T"].columns) == len(catalogue.objects["W"].columns) == 200
    assert catalogue.objects["V"].columns == ()
