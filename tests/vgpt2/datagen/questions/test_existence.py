"""Every question is checked against the catalogue, not against the code that made it."""

import re
from random import Random

import pytest

from vgpt2.datagen.language.answers import ABSENT
from vgpt2.datagen.language.phrasings import EXISTENCE_KINDS, TRAINING
from vgpt2.datagen.questions.question import Slot
from vgpt2.datagen.questions.recipes import ROOM_OF, ROOMS, suite_side, training_side
from vgpt2.sql.checker import check
from vgpt2.sql.extract import claims, sql_blocks

SQL_KINDS = [kind for kind in ROOM_OF if kind.startswith("sql_")]


def made(side, kind, real, n=60):
    """Questions of one kind, each alone on its context."""
    questions = []
    for seed in range(n):
        rng = Random(f"{kind}/{real}/{seed}")
        chat = ROOMS[ROOM_OF[kind]].make(side, [Slot(kind, rng.choice(TRAINING[kind]), real)], (), rng)
        questions += chat or []
    assert len(questions) > n // 5
    return questions


def chats(side, room, n=40):
    """Chats of a room with its kinds and real and unreal names mixed."""
    found = []
    for seed in range(n):
        rng = Random(f"{room}/{seed}")
        kinds = [rng.choice(ROOMS[room].kinds) for _ in range(ROOMS[room].turns)]
        slots = [Slot(kind, rng.choice(TRAINING[kind]), rng.random() < 0.6) for kind in kinds]
        chat = ROOMS[room].make(side, slots, (), rng)
        if chat:
            assert [q.kind for q in chat] == kinds
            found.append(chat)
    assert len(found) > n // 5
    return found


@pytest.mark.parametrize("kind", SQL_KINDS)
@pytest.mark.parametrize("make_side", [training_side, suite_side])
def test_sql_answers_resolve_and_use_only_what_the_prompt_shows(core, kind, make_side):
    for question in made(make_side(core), kind, True):
        (sql,) = sql_blocks(question.answer)
        assert check(sql, core.catalogue) == []
        for table, column in re.findall(r"\b(\w+)\.(\w+)", sql):
            assert core.catalogue.objects[table].has(column)
            assert re.search(rf"^{table}\b", question.context, re.MULTILINE), f"{table} is not in the schema text"
            assert re.search(rf"^  {column} ", question.context, re.MULTILINE), f"{table}.{column} is not in the schema text"


@pytest.mark.parametrize("room", ROOMS)
def test_the_questions_of_a_chat_stand_on_one_context_and_ask_for_different_things(core, room):
    for chat in chats(training_side(core), room):
        assert len({q.context for q in chat}) == 1
        assert len({q.subject.name for q in chat if q.subject}) == sum(q.subject is not None for q in chat) or room == "schema"
        for question in chat:
            for sql in sql_blocks(question.answer):
                assert check(sql, core.catalogue) == []
                for _, column in re.findall(r"\b(\w+)\.(\w+)", sql):
                    assert re.search(rf"^  {column} ", question.context, re.MULTILINE)


def test_the_questions_of_a_schema_chat_with_a_join_are_about_its_two_objects(core):
    for chat in chats(training_side(core), "schema"):
        joins = {q.objects for q in chat if q.kind == "sql_join"}
        assert len({frozenset(objects) for objects in joins}) <= 1
        for objects in joins:
            assert all(set(q.objects) <= set(objects) for q in chat)


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
            for f in question.query.filters:
                value = f.value.strip("'")
                if re.fullmatch(r"20\d{6}", value):
                    continue  # a date is said as month and year
                assert re.search(rf"\b{value}\b", question.ask), (f, question.ask)


@pytest.mark.parametrize("kind", EXISTENCE_KINDS)
@pytest.mark.parametrize("real", [True, False])
def test_existence_answers_say_the_truth_about_the_asked_name(core, kind, real):
    for question in made(training_side(core), kind, real):
        name = question.expect["name"]
        table, _, column = name.rpartition(".")
        exists = core.catalogue.objects[table].has(column) if table else name in core.known
        assert exists == real == question.expect["exists"]
        said = {(claim.kind, claim.name) for claim in claims(question.answer)}
        assert ("exists" if real else "not_exists", name) in said
        assert ("not_exists" if real else "exists", name) not in said
        for other in {other for _, other in said} - {name}:
            owner, _, its = other.rpartition(".")
            assert core.catalogue.objects[owner].has(its) if owner else other in core.known


def test_a_listed_name_is_in_the_list_exactly_if_it_is_real(core):
    for real in (True, False):
        for question in made(training_side(core), "exists_list", real):
            shown = max(re.findall(r"(?:[\w#]+, )+[\w#]+", question.context), key=len).split(", ")
            assert (question.subject.name in shown) == real
            assert question.subject.nearest in shown
            assert set(shown) <= core.known


def test_absent_data_is_denied_and_absent_names_get_an_alternative(core):
    for kind in (*SQL_KINDS, "which_column"):
        for question in made(training_side(core), kind, False, n=40):
            denial = ABSENT.search(question.answer)
            assert not sql_blocks(question.answer)
            if denial:
                described = {c.description for c in core.catalogue.objects[denial["table"]].columns}
                assert denial["what"] not in described
                assert denial["what"] in question.ask
            else:
                assert {c.kind for c in claims(question.answer)} == {"not_exists", "use_instead"}


def test_a_training_prompt_mentions_no_held_out_object(core):
    for room in ROOMS:
        for chat in chats(training_side(core), room):
            for question in chat:
                assert not core.held_out & set(re.findall(r"\w+", question.prompt + question.answer))


def test_a_catalogue_without_modules_companies_and_descriptions_gives_every_kind_but_one(shop):
    side = training_side(shop)
    for kind in set(ROOM_OF) - {"which_column"}:  # that one asks by words, and the shop has none
        for question in made(side, kind, True, n=40):
            for sql in sql_blocks(question.answer):
                assert check(sql, shop.catalogue) == []


def test_answers_are_short(core):
    # three characters a token is a safe estimate for these tokenizers
    for kind in EXISTENCE_KINDS:
        assert max(len(q.answer) for real in (True, False) for q in made(training_side(core), kind, real)) < 160
