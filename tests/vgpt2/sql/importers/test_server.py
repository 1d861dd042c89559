"""A live SQL Server, by recorded rows: what is asked of it, what comes of the answers, and what is never said."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from vgpt2.sql.catalogue import Column, ForeignKey
from vgpt2.sql.importers import queries, server
from vgpt2.sql.importers.assemble import assemble
from vgpt2.sql.lexer import tokenize
from vgpt2.sql.parser import nodes as n
from vgpt2.sql.parser import parse
from vgpt2.sql.parser.statement_nodes import SelectStatement

RECORDED = json.loads(Path(__file__).with_name("rows").joinpath("server.json").read_text("utf-8"))
ANSWERS = {getattr(queries, name): answer for name, answer in RECORDED.items()}
SECRET = "Server=db1;UID=sa;PWD=hunter2-hunter2"


class Recorded:
    """A DB-API connection and cursor that answer the constants, and nothing else, with recorded rows."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.closed = False
        self.timeout = 0

    def cursor(self) -> Recorded:
        return self

    def execute(self, query: str) -> None:
        self.asked.append(query)
        self.description = [(name, None) for name in ANSWERS[query]["names"]]

    def fetchall(self) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in ANSWERS[self.asked[-1]]["rows"]]

    def close(self) -> None:
        self.closed = True


def test_the_rows_of_a_server_become_a_catalogue() -> None:
    drafts = server.drafts_from(Recorded())
    catalogue = assemble(drafts, modules="names")
    header, view = catalogue.objects["bAPTH"], catalogue.objects["APTH"]
    assert header.columns == (
        Column("APCo", "tinyint", "bCompany", nullable=False, description="AP company"),
        Column("APTrans", "int", "bTrans", nullable=False),
        Column("APRef", "varchar", "bAPReference", length=15, description="the vendor's invoice number"),
        Column("Amt", "numeric", "bDollar", precision=12, scale=2, nullable=False),
        Column("Notes", "varchar", length=-1),
        Column("Stamp", "timestamp", nullable=False),
        Column("KeyID", "bigint", nullable=False, identity=True),
    )
    assert (header.description, header.module, header.exposed_by) == ("posted invoices", "AP", ("APTH",))
    assert (header.primary_key, header.unique_keys) == (("APCo", "APTrans"), (("APCo", "APTrans"), ("KeyID",)))
    assert catalogue.objects["bAPTL"].primary_key == ("APCo", "APTrans", "APLine")
    assert (view.kind, view.base_table, view.row_filter, view.unique_keys) == ("view", "bAPTH", True, (("APCo", "APTrans"),))
    assert view.column("Ref") == Column("Ref", "varchar", "bAPReference", length=15, source="bAPTH.APRef")
    assert catalogue.foreign_keys == (ForeignKey("bAPTL", ("APCo", "APTrans"), "APTH", ("APCo", "APTrans")),)
    assert drafts.unread == []


@pytest.mark.parametrize("query", queries.ALL)
def test_only_catalogue_views_are_read(query: str) -> None:
    """Threat 16."""
    (statement,), errors = parse(query)
    assert errors == []
    assert isinstance(statement, SelectStatement)
    stack, read = [statement.query], []
    while stack:
        node = stack.pop()
        read += [node.name.parts[0]] if isinstance(node, n.Table) else []
        stack.extend(n.children(node))
    assert set(read) <= {"sys", "INFORMATION_SCHEMA"}
    assert len(read) > 1
    assert not {token.key for token in tokenize(query)} & {"INTO", "EXEC", "EXECUTE", "UPDATE", "DELETE", "INSERT", ";"}


@pytest.mark.parametrize("name", RECORDED)
def test_the_recorded_rows_have_the_columns_that_the_query_names(name: str) -> None:
    (statement,), _ = parse(getattr(queries, name))
    assert isinstance(statement, SelectStatement)
    assert isinstance(statement.query.body, n.Select)
    items = [item.alias or getattr(item.expression, "last", "") for item in statement.query.body.items]
    assert items == RECORDED[name]["names"]


def stand_in(monkeypatch: pytest.MonkeyPatch, connect: Any) -> type[Exception]:
    module = types.ModuleType("pyodbc")
    module.Error = type("Error", (Exception,), {})  # type: ignore[attr-defined]
    module.connect = connect  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pyodbc", module)
    return module.Error  # type: ignore[attr-defined,no-any-return]


def test_a_server_is_read_read_only_and_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = Recorded()
    given: dict[str, Any] = {}

    def connect(text: str, **options: Any) -> Recorded:
        given.update(options, text=text)
        return connection

    stand_in(monkeypatch, connect)
    assert len(server.read_server(SECRET).objects) == 3
    assert given == {"text": SECRET, "timeout": server.CONNECT_TIMEOUT_S, "readonly": True, "autocommit": True}
    assert (tuple(connection.asked), connection.closed, connection.timeout) == (queries.ALL, True, server.QUERY_TIMEOUT_S)


def test_an_error_of_the_driver_is_told_without_the_connection_string(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threat 16: the driver's own words may repeat the string."""

    def connect(text: str, **options: Any) -> None:
        raise error("28000", f"[28000] Login failed, {text}")

    error = stand_in(monkeypatch, connect)
    with pytest.raises(ValueError, match=r"cannot be read \(ODBC state 28000\); see that the connection string") as caught:
        server.read_server(SECRET)
    shown = f"{caught.value}{caught.value.__cause__}"
    assert "hunter2" not in shown
    assert caught.value.__suppress_context__


def test_without_pyodbc_the_cure_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyodbc", None)
    with pytest.raises(ValueError, match="pip install pyodbc"):
        server.read_server(SECRET)
