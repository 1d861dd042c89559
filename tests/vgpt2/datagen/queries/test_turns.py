"""Turns: what goes on from a plan, what declines, and how a question is put."""

import re
from dataclasses import replace
from random import Random

import pytest

from vgpt2.datagen.language import answers
from vgpt2.datagen.plans.plan import render_sql
from vgpt2.datagen.queries import abstain, followups
from vgpt2.datagen.queries.answering import plan
from vgpt2.datagen.queries.asks import as_query
from vgpt2.datagen.queries.compose import KINDS, OF_MANY, Draft
from vgpt2.datagen.queries.criteria import UNSAID
from vgpt2.datagen.queries.dealing import Deck
from vgpt2.datagen.queries.maker import make
from vgpt2.datagen.queries.styles import REQUESTS, mistyped
from vgpt2.datagen.queries.wording import Words, draw_phrase, draw_sentence, in_words
from vgpt2.sql.checker import check
from vgpt2.sql.render import estimate_tokens


def plans(lexicon, kinds, n, *, by_name=False):
    """(plan, generator) of `n` draws of each kind."""
    found = []
    for kind in kinds:
        made = 0
        for seed in range(60 * n):
            rng = Random(f"{kind}/{seed}")
            ask = KINDS[kind][0](Draft(lexicon, lexicon.table(rng.choice(lexicon.names)), rng, by_name=by_name))
            if ask and made < n:
                made += 1
                found.append((ask, rng))
    return found


def test_a_follow_up_changes_one_thing_and_its_sql_is_right(core_world, core):
    seen = set()
    for ask, rng in plans(core_world.lexicon, KINDS, 25):
        drawn = followups.draw_change(ask, Draft(core_world.lexicon, core_world.lexicon.table(ask.table), rng, by_name=False))
        if drawn is None:
            continue
        name, changed = drawn
        seen.add(name)
        assert check(render_sql(as_query(changed.ask)), core.catalogue) == []
        before, after = vars(ask), vars(changed.ask)
        differing = {field for field in before if before[field] != after[field]}
        allowed = {
            "narrow": {"criteria"},
            "owner": {"criteria", "details"},
            "value": {"criteria"},
            "add": {"shown"},
            "per": {"per", "kind"},
        }
        allowed |= {"sort": {"sorting"}, "top": {"top"}, "count": {"kind", "shown", "measures", "sorting"}}
        assert differing
        assert differing <= allowed[name], (name, differing)
    assert seen == set(followups.CHANGES)


def test_another_owner_reaches_the_lines_that_are_totalled(core_world):
    for ask, rng in plans(core_world.lexicon, ["totals"], 40):
        changed = followups.owner(ask, Draft(core_world.lexicon, core_world.lexicon.table(ask.table), rng, by_name=False))
        if changed is None:
            continue
        new = changed.ask.criteria[0].values
        assert all(c.values == new for d in changed.ask.details for c in d.criteria if c.kind == UNSAID)


@pytest.mark.parametrize("most", [40, 120])
def test_a_plan_has_three_to_six_lines_within_its_tokens(core_world, most):
    lengths = []
    for ask, _ in plans(core_world.lexicon, KINDS, 12):
        text = plan(ask, core_world.lexicon, max_tokens=most)
        assert 3 <= len(text.splitlines()) <= 6
        lengths.append(estimate_tokens(text))
    assert sum(length <= most for length in lengths) >= 0.97 * len(lengths)
    assert max(lengths) <= 1.5 * most


def test_absent_things_are_absent_from_all_asked_tables(core_world, core):
    said = 0
    for ask, rng in plans(core_world.lexicon, KINDS, 10):
        found = abstain.absent(ask, Words(core_world.lexicon, "words", rng), has_schema=False)
        match = found and answers.ABSENT.search(found.answer)
        if match:
            said += 1
            for table in ask.tables:
                glosses = {words for forms in core_world.lexicon.table(table).words.values() for words in forms}
                assert match["what"] not in glosses
    assert said > 20


def test_a_question_back_names_two_or_three_real_candidates_of_one_word(core_world, core):
    asked_back = 0
    for ask, rng in plans(core_world.lexicon, ("list", "by", "total", "top"), 60):
        found = abstain.unclear(ask, Words(core_world.lexicon, "words", rng))
        if found is None:
            continue
        asked_back += 1
        names = re.findall(r"(\w+(?:\.[\w#]+)?) \(", found.answer)
        assert 2 <= len(names) <= 3
        for name in names:
            table, _, column = name.partition(".")
            assert core.catalogue.has(table)
            assert not column or core.catalogue.objects[table].has(column)
    assert asked_back > 20


def test_a_slip_leaves_slots_alone_and_is_one_edit():
    for style, (training, _) in REQUESTS.items():
        for number, sentence in enumerate(training):
            text = sentence.replace("{}", "{shown} of {rows}{where}")
            slipped = mistyped(text, Random(f"{style}/{number}"))
            assert re.findall(r"{\w+}", slipped) == re.findall(r"{\w+}", text)
            assert abs(len(slipped) - len(text)) <= 1


def test_training_and_suites_share_no_phrase_and_no_request():
    ours, theirs = set(), set()
    for held_out, found in ((False, ours), (True, theirs)):
        for kind in KINDS:
            for style in REQUESTS:
                rng = Random(f"{kind}/{style}")
                for _ in range(20):
                    phrase = draw_phrase(kind, style, rng, held_out=held_out)
                    found |= {phrase.template, phrase.text}
    assert not ours & theirs


def test_every_phrase_can_be_filled(core_world):
    rng = Random(1)
    for ask, _ in plans(core_world.lexicon, KINDS, 4):
        for style in REQUESTS:
            for held_out in (False, True):
                phrase = draw_phrase(ask.kind, style, rng, held_out=held_out)
                text = in_words(ask, draw_sentence(phrase, rng, held_out=held_out), Words(core_world.lexicon, "words", rng))
                assert "{" not in text
                assert "  " not in text
                assert " ," not in text


def test_a_deck_deals_each_phrase_one_absent_question_a_block():
    deck = Deck({"list": 3.0, "by": 1.0}, 0.125, "seed", held_out=False)
    dealt = []
    for _ in range(400):
        phrase, is_absent = deck.next()
        if is_absent:
            deck.settle()
        dealt.append((phrase, is_absent))
    for at in range(0, 400, 8):
        block = dealt[at : at + 8]
        assert len({phrase.template for phrase, _ in block}) == 1
        assert [is_absent for _, is_absent in block] == [True] + [False] * 7
    assert 0.65 <= sum(phrase.kind == "list" for phrase, _ in dealt) / 400 <= 0.85


def test_an_absent_question_that_could_not_be_made_is_still_due():
    deck = Deck({"list": 1.0}, 0.2, "seed", held_out=False)
    assert [deck.next()[1] for _ in range(3)] == [True, True, True]
    deck.settle()
    assert deck.next()[1] is False


def test_half_of_the_worded_questions_share_no_name_with_their_answer(core_world, core):
    """DATA.md's measure of words: no table or column of the gold SQL stands in the question as it is written."""
    shared, total = 0, 0
    for ask, rng in plans(core_world.lexicon, KINDS, 12):
        words = Words(core_world.lexicon, "words", rng)
        text = in_words(ask, draw_sentence(draw_phrase(ask.kind, "formal", rng, held_out=False), rng, held_out=False), words)
        used = {ref.column for ref in ask.refs} | set(ask.tables)
        total += 1
        shared += bool(used & set(re.findall(r"[\w#]+", text)))
    assert shared <= 0.5 * total


def test_the_question_does_not_depend_on_what_is_asked_instead(core_world):
    ask, rng = plans(core_world.lexicon, ["list"], 1)[0]
    words = Words(core_world.lexicon, "words", rng)
    other = replace(words, instead={ask.shown[0]: "golden thread"})
    assert other.column(ask.shown[0]) == "golden thread"
    assert not other.is_named(ask.shown[0])


def test_what_is_wanted_stands_last_in_a_request():
    # however long it is and whatever conditions it ends with, nothing after it can be read as a part of it
    requests = [request for both in REQUESTS.values() for side in both for request in side]
    assert [request for request in requests if len(request.rpartition("{}")[2]) > len(" pls")] == []


def test_nobody_asks_for_several_rows_of_what_has_one_for_each_company(core_world, core):
    chats = make("sql", {kind: KINDS[kind][1] for kind in OF_MANY}, core_world, 400, "9/many")
    for table in {q.query.source for chat in chats for q in chat if q.query}:
        o = core.catalogue.get(table)
        assert o is None or o.business_key != (o.company_column,), table


def test_the_column_that_orders_is_not_the_one_that_is_missing(core_world):
    several = 0
    for ask, _ in plans(core_world.lexicon, ("latest", "top"), 40):
        offered = abstain._replaceable(ask)
        others = [ref for ref in ask.shown if ref != ask.sorting.by]
        several += bool(others)
        assert offered == (others or offered)
        assert offered
    assert several > 20


def test_no_aggregate_is_named_twice(core_world):
    said = [q.ask for kind in ("ranking", "total", "by") for chat in make("sql", {kind: 1}, core_world, 200, "4/x") for q in chat]
    twice = re.compile(r"(?:highest|largest|lowest|smallest) (?:highest|largest|lowest|smallest)|(?:total|overall) total\b")
    assert [ask for ask in said if twice.search(ask)] == []
