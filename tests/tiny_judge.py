"""A small suite about the bundled catalogue and models that answer it by rule: the right one, constant ones, a broken one."""

import json
from collections.abc import Callable
from pathlib import Path

from vgpt2.judging import Item, read_items
from vgpt2.sql.catalogue import Catalogue, load_catalogue

CATALOGUE_FOLDER = Path(__file__).parents[1] / "data/catalogues/vista-core"
REAL = ("APTH", "APTL", "APTD", "ARTH", "JCJM", "JCCD", "PREH", "GLDT", "HQCO", "bAPTH")
UNREAL = ("APTX", "APHeader", "Invoice", "ARTHs", "JCJobs", "apth", "PREmployees", "GLDetail", "HQCompany", "bAPTHeader")
QUERIES = {
    "select": ("SELECT APTH.Mth, APTH.APRef FROM APTH WITH (NOLOCK) WHERE APTH.APCo = 1", ["APTH"], ["APTH.Mth", "APTH.APRef"]),
    "group": (
        "SELECT ARTH.Customer, SUM(ARTH.Invoiced) AS Total FROM ARTH WITH (NOLOCK) WHERE ARTH.ARCo = 2 GROUP BY ARTH.Customer",
        ["ARTH"],
        ["ARTH.Customer", "ARTH.Invoiced"],
    ),
    "join": (
        "SELECT APTH.Vendor, APTL.GrossAmt FROM APTH WITH (NOLOCK) JOIN APTL WITH (NOLOCK) "
        "ON APTL.APCo = APTH.APCo AND APTL.Mth = APTH.Mth AND APTL.APTrans = APTH.APTrans WHERE APTH.APCo = 1",
        ["APTH", "APTL"],
        ["APTH.Vendor", "APTL.GrossAmt"],
    ),
}


def catalogue() -> Catalogue:
    return load_catalogue(CATALOGUE_FOLDER)


def write_suite(path: Path) -> list[Item]:
    """Twenty names asked with the list, twenty from memory, two columns asked for, one to be found, three queries."""
    rows = []
    for group in ("exists_list", "exists_memory"):
        for name in (*REAL, *UNREAL):
            rows.append((f"{group}-{name}", "exists", group, f"Does {name} exist?", {"name": name, "exists": name in REAL}))
    for name, real in (("APTH.APRef", True), ("APTH.InvNum", False)):
        rows.append((f"columns-{name}", "exists", "columns", f"Is {name} a column?", {"name": name, "exists": real}))
    rows.append(("which", "column", "columns", "Where is the reference?", {"table": "APTH", "column": "APRef"}))
    for name, (sql, tables, columns) in QUERIES.items():
        expect = {"tables": tables, "columns": columns, "sql": sql}
        rows.append((f"sql-{name}", "sql", "sql_schema", f"A schema\nWrite the {name}.", expect))
    with path.open("w", encoding="utf-8") as file:
        for id, kind, group, question, expect in rows:
            row = {"id": id, "kind": kind, "group": group, "messages": [{"role": "user", "content": question}], "expect": expect}
            file.write(json.dumps(row) + "\n")
    return read_items(path)


def gold(item: Item) -> str:
    """The right answer."""
    if item.kind == "sql":
        return f"```sql\n{item.expect['sql']}\n```"
    if item.kind == "column":
        named = f"{item.expect['table']}.{item.expect['column']} holds it."
        return named if item.expect["column"] else f"{item.expect['table']} has no such column."
    if item.kind == "abstain":
        candidates = item.expect.get("candidates")
        return f"Do you mean {candidates[0]} or {candidates[1]}?" if candidates else "That is not stored in this database."
    return accepter(item) if item.expect["exists"] else refuser(item)


def accepter(item: Item) -> str:
    return f"{item.expect.get('name', 'It')} exists: a table."


def refuser(item: Item) -> str:
    return f"{item.expect.get('name', 'It')} does not exist; use HQCO instead."


def silent(item: Item) -> str:
    return ""


def write_answers(path: Path, items: list[Item], model: Callable[[Item], str]) -> Path:
    lines = [json.dumps({"id": item.id, "answer": model(item)}) + "\n" for item in items]
    path.write_text("".join(lines), "utf-8")
    return path
