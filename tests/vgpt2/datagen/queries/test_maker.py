"""Laws of the makers, over some thousands of questions: right SQL, the stated shares, one mode a chat, nothing left to a second call."""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from vgpt2.datagen.audit.gate import audit
from vgpt2.datagen.queries.maker import MAKERS
from vgpt2.datagen.queries.settings import QuerySettings
from vgpt2.datagen.queries.styles import SQL_ONLY
from vgpt2.datagen.sets import production, records
from vgpt2.sql.checker import check
from vgpt2.sql.extract import sql_blocks
from vgpt2.sql.glossary import Glossary, Meaning, Term

CORE = Path(__file__).parents[4] / "data" / "catalogues" / "vista-core"


@pytest.fixture(scope="module")
def chats(core_world):
    return [chat for part in range(11) for chat in MAKERS["sql"](core_world, 200, f"7/sql/0/{part}")]


@pytest.fixture(scope="module")
def asked(chats):
    return [question for chat in chats for question in chat]


def test_every_sql_answer_of_two_thousand_questions_is_without_a_finding(core, asked):
    assert len(asked) >= 2000
    for question in asked:
        blocks = sql_blocks(question.answer)
        assert len(blocks) == (question.query is not None)
        for sql in blocks:
            assert check(sql, core.catalogue) == []


@pytest.mark.parametrize("name", ["core_world", "shop_world", "cryptic_world"])
@pytest.mark.parametrize("category", MAKERS)
def test_any_catalogue_gives_questions_with_sql_that_resolves_in_it(name, category, request):
    world = request.getfixturevalue(name)
    questions = [q for chat in MAKERS[category](world, 120, "3/x/0") for q in chat]
    assert len(questions) >= 60
    answered = [q for q in questions if q.query]
    assert len(answered) >= 0.6 * len(questions)
    for question in answered:
        (sql,) = sql_blocks(question.answer)
        assert check(sql, world.names.catalogue) == []


def test_the_same_seed_text_gives_the_same_chats_and_another_one_others(core_world):
    for make in MAKERS.values():
        first, again, other = (make(core_world, 60, seed) for seed in ("1/a/0", "1/a/0", "1/a/1"))
        assert first == again
        assert first != other


def test_shares_are_those_of_the_settings(asked, chats):
    settings = QuerySettings()
    firsts = [chat[0] for chat in chats]
    answered = [q for q in asked if q.query]
    assert sum(bool(q.context) for q in answered) >= 0.5 * len(answered)
    tables = [q for q in firsts if "CREATE TABLE" in q.context]
    assert 0.07 <= len(tables) / len(firsts) <= 0.14
    planned = [q for q in answered if not q.answer.startswith("```")]
    assert abs(len(planned) / len(answered) - settings.plan) < 0.06
    declined = [q for q in asked if q.query is None]
    assert 0.15 <= len(declined) / len(asked) <= 0.20
    unclear = [q for q in declined if q.answer.startswith("Which ")]
    assert 0.25 <= len(unclear) / len(declined) <= 0.5
    absent = len(declined) - len(unclear) - sum(q.kind == "off_topic" for q in declined)
    assert 0.10 <= absent / len(asked) <= 0.15


def test_sql_alone_is_given_exactly_where_a_phrase_asks_for_it(chats):
    for chat in chats:
        wants_sql_only = chat[0].ask.endswith(SQL_ONLY)
        for question in chat:
            if question.query:
                assert question.answer.startswith("```sql") == wants_sql_only, question.ask


def test_the_values_of_a_query_have_been_said_in_the_chat(chats):
    """But for a year's bounds, the next month, a top of one and labels' own numbers, every literal stands in what the user said."""
    for chat in chats:
        said = ""
        for question in chat:
            said += " " + question.ask
            if question.query is None:
                continue
            for part in question.query.parts:
                for f in part.filters:
                    for literal in re.findall(r"'([^']*)'|(?<![\w'])(\d+)(?![\w'])", f.value):
                        value = (literal[0] or literal[1]).strip("%")
                        if re.fullmatch(r"20\d{6}", value):
                            assert value[:4] in said or str(int(value[:4]) - 1) in said
                        elif f.column.column != "RowNumber" and f.value != "0":
                            assert value in said, (value, said)


def test_what_an_answer_uses_stands_in_the_schema_text_before_it(chats):
    for chat in chats:
        for question in chat:
            if not question.context or question.query is None or "CREATE TABLE" in question.context:
                continue
            for table in question.query.reads:
                assert re.search(rf"^{table}\b", question.context, re.MULTILINE), table
            for part in question.query.parts:
                for ref in [o.column for o in part.outputs if o.column] + [f.column for f in part.filters]:
                    if ref.table in question.query.reads:
                        assert re.search(rf"^  \[?{re.escape(ref.column)}\]? ", question.context, re.MULTILINE), ref


def test_there_are_three_hundred_phrasings(core_world):
    quick = replace(core_world, queries=QuerySettings(schema_text=0.0, absent=1.0, unclear=0.0))
    templates = {q.template for part in range(4) for chat in MAKERS["sql"](quick, 1000, f"t/{part}") for q in chat}
    assert len(templates) >= 300


def test_a_third_of_the_further_turns_changes_the_subject(chats):
    further = [q for chat in chats for q in chat[1:]]
    assert len(further) > 200
    assert 0.2 <= sum(q.kind.startswith("sql_") for q in further) / len(further) <= 0.45


def test_a_context_stands_once_and_serves_all_turns(chats):
    for chat in chats:
        assert len({question.context for question in chat}) == 1
        assert not any("\n" in question.ask for question in chat)


def test_the_audit_passes_on_a_catalogue_with_descriptions_and_on_one_without(core_world, shop_world, tmp_path, shop_folder):
    for world, folder in ((core_world, CORE), (shop_world, shop_folder)):
        workshop = production.Workshop(world, lambda: MAKERS)
        product = production.produce(workshop, {"sql": 300, "joins_sql": 60, "coverage": 40}, seed="1")
        path = tmp_path / "sft.jsonl"
        records.write(path, product.numbered("sft"), {"stage": "sft"})
        result = audit([path], catalogue=folder, suites=[], tokenizer=None)
        failed = {name: o.failures[:3] for file in result.files for name, o in file.outcomes.items() if o.failures}
        assert not failed


def test_a_few_parts_of_the_coverage_go_through_all_columns(core_world):
    columns = Counter()
    for part in range(8):
        for chat in MAKERS["coverage"](core_world, 200, f"5/coverage/0/{part}"):
            for question in chat:
                if question.query:
                    columns.update({str(output.column) for output in question.query.outputs})
    every = [f"{o.name}.{name}" for o in core_world.side.schema_objects() for name in o.column_names]
    assert all(columns[name] for name in every)


def test_rows_called_by_a_term_are_those_it_means_and_the_prompt_says_so(core, core_world):
    term = Term("void check", (Meaning("APPH", "VoidYN"),), ("void check",), filter="APPH.VoidYN = 'Y'")
    world = replace(core_world, glossary=Glossary((term,)), queries=QuerySettings(schema_text=1.0, followed=0.0, absent=0.0, unclear=0.0))
    called = [chat[0] for part in range(10) for chat in MAKERS["sql"](world, 60, f"v/{part}") if "void checks" in chat[0].ask]
    assert called
    for question in called:
        assert "APPH.VoidYN = 'Y'" in question.answer
        assert "TERM void check: APPH.VoidYN; WHERE APPH.VoidYN = 'Y'" in question.context
