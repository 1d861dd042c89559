from random import Random

import pytest

from vgpt2.datagen.answers import fenced
from vgpt2.datagen.faults import ACCEPTS_FAKE, FAULTS, REFUSES_REAL, wrong_verdict
from vgpt2.datagen.phrasings import TRAINING
from vgpt2.datagen.plan import render_sql
from vgpt2.datagen.questions import Slot, memory_chat
from vgpt2.datagen.recipes import preference_side
from vgpt2.datagen.schema_questions import schema_chat
from vgpt2.datagen.statements import findings
from vgpt2.sql.extract import claims


def join_question(side, rng):
    chat = schema_chat(side, [Slot("sql_join", TRAINING["sql_join"][0], True)], (), rng)
    return chat[0] if chat else None


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_makes_exactly_the_defect_it_is_named_for(core, name):
    side, found = preference_side(core), 0
    for seed in range(60):
        rng = Random(f"{name}/{seed}")
        question = join_question(side, rng)
        if question is None:
            continue
        assert findings(question.answer, core) == []
        broken = FAULTS[name].apply(question.query, side, rng)
        if broken is not None:
            found += 1
            codes = {f.code for f in findings(fenced(render_sql(broken)), core)}
            assert codes == set(FAULTS[name].codes), render_sql(broken)
    assert found > 10


def test_a_fault_leaves_the_right_query_as_it_was(core):
    side, rng = preference_side(core), Random(1)
    question = join_question(side, rng)
    before = render_sql(question.query)
    for fault in FAULTS.values():
        fault.apply(question.query, side, rng)
    assert render_sql(question.query) == before


@pytest.mark.parametrize(("real", "fault", "claim"), [(True, REFUSES_REAL, "not_exists"), (False, ACCEPTS_FAKE, "exists")])
def test_a_wrong_verdict_says_the_opposite_of_the_same_name_in_like_length(core, real, fault, claim):
    for seed in range(30):
        (question,) = memory_chat(preference_side(core), [Slot("exists_memory", TRAINING["exists_memory"][0], real)], (), Random(seed))
        name, answer = wrong_verdict(question)
        assert name == fault
        assert (claim, question.subject.name) in {(c.kind, c.name) for c in claims(answer)}
        assert 0.4 < len(answer) / len(question.answer) < 2.5
