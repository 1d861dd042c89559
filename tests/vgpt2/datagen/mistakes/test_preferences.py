"""Preference sets by recipe: their themes in their shares, one stated defect a pair, right answers without finding, like lengths."""

import json
import re
from collections import Counter, defaultdict
from statistics import median

import pytest

from vgpt2.datagen.audit.gate import audit
from vgpt2.datagen.audit.report import render
from vgpt2.datagen.faults import ACCEPTS_FAKE, FAULTS, REFUSES_REAL
from vgpt2.datagen.mistakes.preferences import RECIPES, pairs
from vgpt2.datagen.questions.recipes import apportioned
from vgpt2.datagen.sets import records
from vgpt2.sql.checker import check
from vgpt2.sql.extract import sql_blocks


def plain(rows):
    return rows


def made(names, recipe, size, purpose="dpo", seed=3, **more):
    return pairs(names, recipe=recipe, size=size, seed=seed, purpose=purpose, progress=plain, **more)


@pytest.fixture(scope="module")
def sets(core):
    return {recipe: made(core, recipe, 400) for recipe in RECIPES}


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_is_filled_theme_by_theme(sets, recipe):
    wanted = apportioned({name: theme.share for name, theme in RECIPES[recipe].items()}, 400)
    assert sets[recipe].wanted == wanted
    assert sets[recipe].short == {}
    counts = Counter(pair.theme for pair in sets[recipe].pairs)
    assert all(abs(counts[theme] - count) <= 1 for theme, count in wanted.items())


def test_the_plan_of_v3_rewards_accepting_as_often_as_refusing_tables(sets):
    """800 fake tables refused, 800 real ones accepted, 400 columns, 300 hints, 200 joins of 2,500."""
    counts = Counter(pair.category for pair in sets["v3"].pairs)
    assert counts == {"refuse_fake_table": 128, "accept_real_table": 128, "fake_column": 64, "nolock": 48, "join": 32}


@pytest.mark.parametrize("recipe", RECIPES)
def test_right_answers_are_without_finding_and_wrong_ones_have_the_stated_one(core, sets, recipe):
    for pair in sets[recipe].pairs:
        for sql in sql_blocks(pair.question.answer):
            assert check(sql, core.catalogue) == []
        found = sorted(f.code for sql in sql_blocks(pair.wrong) for f in check(sql, core.catalogue))
        stated = FAULTS[pair.fault].codes + FAULTS[pair.fault].warnings if pair.fault in FAULTS else ()
        assert found == sorted(stated), pair.wrong
        assert pair.wrong != pair.question.answer


@pytest.mark.parametrize("recipe", RECIPES)
def test_lengths_of_right_and_wrong_answers_are_alike_in_every_theme(sets, recipe):
    ratios = defaultdict(list)
    for pair in sets[recipe].pairs:
        ratios[pair.theme].append(len(pair.question.answer) / len(pair.wrong))
    for theme, found in ratios.items():
        assert 0.8 <= median(found) <= 1.25, (theme, median(found))


def test_wrong_verdicts_are_even_and_every_fault_finds_its_place(sets):
    faults = Counter(pair.fault for pair in sets["balanced"].pairs)
    assert abs(faults[REFUSES_REAL] - faults[ACCEPTS_FAKE]) <= 0.1 * (faults[REFUSES_REAL] + faults[ACCEPTS_FAKE])
    assert len(set(faults) & set(FAULTS)) > 45


def test_a_plan_before_the_sql_says_the_same_wrong_thing_as_the_sql(sets):
    """Where a column, table or operator of the plan's lines is not in its own statement, plan and SQL have parted."""
    planned = [pair for pair in sets["balanced"].pairs if pair.wrong.startswith("Rows: ")]
    assert len(planned) > 50
    for pair in planned:
        plan, _, sql = pair.wrong.partition("```sql\n")
        output = next(line for line in plan.splitlines() if line.startswith("Output: ")).removeprefix("Output: ")
        written = {word.casefold() for word in re.findall(r"\w+", sql)}
        for name in re.findall(r"\b[A-Z]\w*[A-Z]\w*", output):
            assert name.casefold() in written, pair.wrong
        if pair.fault in ("dropped_filter", "missing_company_filter", "company_by_another_name", "other_month"):
            assert plan != pair.question.answer.partition("```sql\n")[0], pair.wrong


def test_the_unanswerable_are_asked_by_a_name_that_nothing_bears_and_answered_with_a_real_one(core, sets):
    refused = [pair for pair in sets["v3"].pairs if pair.theme == "fake_column" and pair.question.query is None]
    assert 0.55 <= len(refused) / 64 <= 0.75
    for pair in refused:
        table, _, column = pair.question.subject.name.partition(".")
        assert not core.catalogue.objects[table].has(column)
        assert column in pair.question.ask
        assert column in pair.wrong
        nearest, _, real = pair.question.subject.nearest.partition(".")
        assert core.catalogue.objects[nearest].has(real)


@pytest.mark.parametrize("stage", ["dpo", "kto"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_generated_set_passes_the_audit(core, shop, tmp_path, shop_folder, recipe, stage):
    for names, folder in ((core, "data/catalogues/vista-core"), (shop, shop_folder)):
        path = tmp_path / f"{stage}.jsonl"
        rows = (records.dpo_rows if stage == "dpo" else records.kto_rows)(
            made(names, recipe, 100 if stage == "dpo" else 240, purpose=stage).pairs, seed=3
        )
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        result = audit([path], catalogue=folder)
        assert result.passed, render(result)


def test_what_a_database_offers_no_place_for_goes_to_the_other_themes_and_is_said(shop):
    result = made(shop, "balanced", 200)
    counts = Counter(pair.theme for pair in result.pairs)
    for theme, count in result.short.items():
        assert counts[theme] + count == result.wanted[theme]
    assert len(result.pairs) >= 0.9 * 200


def test_names_of_suites_are_kept_out(core, sets):
    words = Counter(word for pair in sets["balanced"].pairs for word in set(re.findall(r"[A-Za-z_]\w*", pair.wrong)))
    column = next(word for word, n in words.most_common() if n > 5 and core.is_column(word))
    again = made(core, "balanced", 400, avoid=frozenset({column}))
    assert not any(re.search(rf"\b{column}\b", text) for pair in again.pairs for text in (pair.wrong, pair.question.ask))


def test_the_same_seed_gives_the_same_pairs_and_the_two_stages_others(core):
    first, again, other = (made(core, "balanced", 100, purpose=purpose).pairs for purpose in ("dpo", "dpo", "kto"))
    assert first == again
    assert len({pair.question.prompt for pair in first} & {pair.question.prompt for pair in other}) < 10


def test_shares_are_those_of_the_plan():
    assert sum(theme.share for theme in RECIPES["v3"].values()) == 2500
    assert sum(theme.share for theme in RECIPES["balanced"].values()) == 100
