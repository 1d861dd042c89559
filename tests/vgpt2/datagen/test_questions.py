"""Every question is checked against the catalogue, not against the code that made it."""

import re
from random import Random

import pytest

from vgpt2.datagen.phrasings import EXISTENCE_KINDS, TRAINING
from vgpt2.datagen.plan import ABSENT
from vgpt2.datagen.recipes import MAKERS, suite_side, training_side
from vgpt2.sql.checker import check
from vgpt2.sql.extract import claims, sql_blocks


def made(side, kind, real, n=60):
    questions = []
    for seed in range(n):
        rng = Random(f"{kind}/{real}/{seed}")
        question = MAKERS[kind](side, rng.choice(TRAINING[kind]), real, rng)
        if question is not None:
            questions.append(question)
    assert len(questions) > n // 4
    return questions


SQL_KINDS = [kind for kind in MAKERS if kind.startswith("sql_")]


@pytest.mark.parametrize("kind", SQL_KINDS)
@pytest.mark.parametrize("make_side", [training_side, suite_side])
def test_sql_answers_resolve_and_use_only_what_the_prompt_shows(core, kind, make_side):
    for question in made(make_side(core), kind, True):
        (sql,) = sql_blocks(question.answer)
        assert check(sql, core.catalogue) == []
        for table, column in re.findall(r"\b(\w+)\.(\w+)", sql):
            assert core.catalogue.objects[table].has(column)
            assert re.search(rf"^{table}\b", question.prompt, re.MULTILINE), f"{table} is not in the schema text"
            assert re.search(rf"^  {column} ", question.prompt, re.MULTILINE), f"{table}.{column} is not in the schema text"


@pytest.mark.parametrize("kind", SQL_KINDS)
def test_rows_are_asked_for_by_company_or_by_the_group_of_a_shared_master(core, kind):
    for question in made(training_side(core), kind, True):
        driving = core.catalogue.objects[question.query.source.table]
        owner = driving.company_column or (driving.business_key[0] if driving.business_key[0] in driving.group_columns else None)
        filtered = {f.column.column for f in question.query.filters if f.column.table == driving.name}
        assert owner is None or owner in filtered, question.answer


def test_joins_are_on_the_whole_key(core):
    for question in made(training_side(core), "sql_join", True):
        (join,) = question.query.joins
        pairs = {frozenset(map(str, pair)) for pair in join.on}
        keys = core.catalogue.joins(*question.query.tables)
        assert [pairs] == [{frozenset((f"{k.from_object}.{c}", f"{k.to_object}.{p}")) for c, p in k.pairs} for k in keys]


def test_values_of_the_filters_stand_in_the_question(core):
    for kind in SQL_KINDS:
        for question in made(training_side(core), kind, True, n=30):
            asked = question.prompt.rsplit("\n\n", 1)[1]
            for f in question.query.filters:
                value = f.value.strip("'")
                if re.fullmatch(r"20\d{6}", value):
                    continue  # a date is said as month and year
                assert re.search(rf"\b{value}\b", asked), (f, asked)


@pytest.mark.parametrize("kind", EXISTENCE_KINDS)
@pytest.mark.parametrize("real", [True, False])
def test_existence_answers_say_the_truth_about_the_asked_name(core, kind, real):
    for question in made(training_side(core), kind, real):
        name = question.expect["name"]
        table, _, column = name.rpartition(".")
        exists = core.catalogue.objects[table].has(column) if table else name in core.known
        assert exists == real == question.expect["exists"]
        first, *rest = claims(question.answer)
        assert (first.kind, first.name) == ("exists" if real else "not_exists", name)
        for other in rest:
            if other.kind == "use_instead":
                owner, _, its = other.name.rpartition(".")
                assert core.catalogue.objects[owner].has(its) if owner else other.name in core.known


def test_a_listed_name_is_in_the_list_exactly_if_it_is_real(core):
    for real in (True, False):
        for question in made(training_side(core), "exists_list", real):
            shown = max(re.findall(r"(?:[\w#]+, )+[\w#]+", question.prompt), key=len).split(", ")
            assert (question.subject.name in shown) == real
            assert question.subject.instead in shown
            assert set(shown) <= core.known


def test_absent_data_is_denied_and_absent_names_get_an_alternative(core):
    for kind in (*SQL_KINDS, "which_column"):
        for question in made(training_side(core), kind, False, n=40):
            denial = ABSENT.search(question.answer)
            assert not sql_blocks(question.answer)
            if denial:
                described = {c.description for c in core.catalogue.objects[denial["table"]].columns}
                assert denial["what"] not in described
                assert denial["what"] in question.prompt
            else:
                assert [c.kind for c in claims(question.answer)] == ["not_exists", "use_instead"]


def test_a_training_prompt_mentions_no_held_out_object(core):
    side = training_side(core)
    for kind in MAKERS:
        for question in made(side, kind, True, n=40):
            assert not core.held_out & set(re.findall(r"\w+", question.prompt + question.answer))


def test_a_catalogue_without_modules_companies_and_descriptions_gives_every_kind_but_one(shop):
    side = training_side(shop)
    for kind in set(MAKERS) - {"which_column"}:  # that one asks by words, and the shop has none
        for question in made(side, kind, True, n=40):
            for sql in sql_blocks(question.answer):
                assert check(sql, shop.catalogue) == []


def test_answers_are_short(core):
    # three characters a token is a safe estimate for these tokenizers
    for kind in EXISTENCE_KINDS:
        assert max(len(q.answer) for real in (True, False) for q in made(training_side(core), kind, real)) < 110
