"""What a plan asks for and what its SQL gives, over small rows: SQLite against plain Python, for every kind of question."""

from collections import Counter
from random import Random

import pytest
from tiny_rows import by_hand, by_sqlite, filled

from vgpt2.datagen.plans.plan import render_sql
from vgpt2.datagen.queries.asks import Ask, Details, Link, Measure, as_query
from vgpt2.datagen.queries.compose import KINDS, Draft
from vgpt2.datagen.queries.lexicon import Lexicon
from vgpt2.datagen.questions.recipes import training_side


@pytest.fixture(scope="module")
def lexicon(core):
    return Lexicon(training_side(core))


def drawn(lexicon, kind, n):
    """(seed, plan) of `n` plans of a kind that hang on no present day."""
    found = []
    for seed in range(60 * n):
        rng = Random(f"{kind}/{seed}")
        ask = KINDS[kind][0](Draft(lexicon, lexicon.table(rng.choice(lexicon.names)), rng, by_name=seed % 3 == 0))
        if ask is not None and "GETDATE" not in render_sql(as_query(ask)):
            found.append((seed, ask))
        if len(found) == n:
            return found
    raise AssertionError(f"{kind}: {len(found)} plans only")


@pytest.mark.parametrize("kind", KINDS)
def test_the_sql_of_a_plan_gives_the_rows_that_it_asks_for(core, lexicon, kind):
    found = 0
    for seed, ask in drawn(lexicon, kind, 25):
        tables = filled(ask, core.catalogue, Random(seed))
        sql = render_sql(as_query(ask))
        rows, wanted = by_sqlite(sql, tables), by_hand(ask, tables)
        if ask.top and ask.kind != "latest":
            keys = sorted((key for _, key in wanted), reverse=ask.sorting.descending)
            assert len(rows) == min(ask.top, len(wanted)), sql
            kept = Counter(row for row, key in wanted if key in keys[: ask.top])
            assert not Counter(rows) - kept, sql
        else:
            assert Counter(rows) == Counter(row for row, _ in wanted), sql
        found += bool(rows)
    assert found >= 5  # empty results prove little


def test_an_amount_of_the_header_is_not_multiplied_by_its_lines(core, lexicon):
    """100 once, not twice for its two lines of 30 and 40: the trap that the CTE is for."""
    header, line = lexicon.table("APTH"), lexicon.table("APTL")
    on = tuple((line.ref(c), header.ref(c)) for c in header.key)
    details = Details("APTL", on, (), Measure("SUM", line.ref("GrossAmt")))
    ask = Ask("totals", "APTH", (), (header.ref("InvTotal"),), details=(details,))
    key = {"APCo": 1, "Mth": "20240101", "APTrans": 7}
    lines = [{**key, "APLine": 1, "GrossAmt": 30}, {**key, "APLine": 2, "GrossAmt": 40}]
    tables = {"APTH": [{**key, "InvTotal": 100}], "APTL": lines}
    assert by_sqlite(render_sql(as_query(ask)), tables) == [(100, 70)]
    joined = Ask("lines", "APTH", (), (header.ref("InvTotal"),), links=(Link("APTL", on, lines=True),))
    assert by_sqlite(render_sql(as_query(joined)), tables) == [(100,), (100,)]
