"""sqlglot's opinion on column scopes, which it knows well; on T-SQL syntax it is no judge, so only texts that both parse are compared."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path

import pytest
from sql_texts import MUTATIONS, house_query

from vgpt2.sql.catalogue import Catalogue, load_catalogue
from vgpt2.sql.checker import check
from vgpt2.sql.ruleset import HOUSE_CODES, house_rules

sqlglot = pytest.importorskip("sqlglot", reason="the second opinion comes with the extra [dev]")
from sqlglot.errors import OptimizeError  # noqa: E402
from sqlglot.optimizer.qualify import qualify  # noqa: E402

NAMES_ONLY = house_rules().without(*HOUSE_CODES)
SHELLS = (
    "{}",
    "WITH c AS (SELECT APTH.APCo AS K FROM APTH) {} ",
    "SELECT d.X FROM (SELECT MAX(APTL.APLine) AS X FROM APTL) d UNION ALL SELECT COUNT(*) FROM ({}) AS e",
    "SELECT APVM.Vendor FROM APVM WHERE EXISTS ({})",
)
FAULTS = ("misspelt column", "another table's column", "unqualified wrong column", "undeclared qualifier", "name hidden by its alias")


@cache
def core() -> Catalogue:
    return load_catalogue(Path(__file__).parents[3] / "data" / "catalogues" / "vista-core")


@cache
def schema() -> dict[str, dict[str, str]]:
    return {o.name: {c.name: "int" for c in o.columns} for o in core().objects.values()}


def sqlglot_resolves(sql: str) -> bool:
    """Whether sqlglot finds every column in scope."""
    try:
        tree = sqlglot.parse_one(sql, read="tsql")
        qualify(tree, schema=schema(), dialect="tsql", validate_qualify_columns=True)
    except OptimizeError:
        return False
    return True


def we_resolve(sql: str) -> bool:
    return not [f for f in check(sql, core(), NAMES_ONLY) if f.code in ("unknown_column", "unknown_qualifier", "ambiguous_column")]


def text(seed: int, fault: str | None) -> str | None:
    rng = random.Random(f"opinion/{seed}")
    query = house_query(rng, core())
    sql = query.text() if fault is None else MUTATIONS[fault][0](rng, core(), query)
    return sql and SHELLS[seed % len(SHELLS)].format(sql.split("\nORDER BY")[0].replace(" WITH (NOLOCK)", ""))


@pytest.mark.parametrize("seed", range(60))
def test_both_resolve_a_clean_query(seed: int) -> None:
    sql = text(seed, None)
    assert sql is not None
    assert we_resolve(sql)
    assert sqlglot_resolves(sql), sql


@pytest.mark.parametrize("fault", FAULTS)
def test_both_notice_a_column_that_is_out_of_scope(fault: str) -> None:
    for seed in range(25):
        sql = text(seed, fault)
        if sql is not None:
            assert not we_resolve(sql), sql
            assert not sqlglot_resolves(sql), sql
