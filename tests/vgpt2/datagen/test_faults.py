from random import Random

import pytest

from vgpt2.datagen.faults import ACCEPTS_FAKE, FAULTS, REFUSES_REAL, wrong_verdict
from vgpt2.datagen.phrasings import TRAINING
from vgpt2.datagen.plan import fenced, render_sql
from vgpt2.datagen.recipes import MAKERS, preference_side
from vgpt2.datagen.statements import findings
from vgpt2.sql.extract import claims


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_makes_exactly_the_defect_it_is_named_for(core, name):
    side, found = preference_side(core), 0
    for seed in range(60):
        rng = Random(f"{name}/{seed}")
        question = MAKERS["sql_join"](side, TRAINING["sql_join"][0], True, rng)
        if question is None:
            continue
        assert findings(question.answer, core) == []
        broken = FAULTS[name].apply(question.query, side, rng)
        if broken is not None:
            found += 1
            assert [f.code for f in findings(fenced(render_sql(broken)), core)] == [FAULTS[name].code]
    assert found > 10


def test_a_fault_leaves_the_right_query_as_it_was(core):
    side, rng = preference_side(core), Random(1)
    question = MAKERS["sql_join"](side, TRAINING["sql_join"][0], True, rng)
    before = render_sql(question.query)
    for fault in FAULTS.values():
        fault.apply(question.query, side, rng)
    assert render_sql(question.query) == before


@pytest.mark.parametrize(("real", "fault", "claim"), [(True, REFUSES_REAL, "not_exists"), (False, ACCEPTS_FAKE, "exists")])
def test_a_wrong_verdict_says_the_opposite_of_the_same_name_in_like_length(core, real, fault, claim):
    for seed in range(30):
        question = MAKERS["exists_memory"](preference_side(core), TRAINING["exists_memory"][0], real, Random(seed))
        name, answer = wrong_verdict(question)
        assert name == fault
        assert (claims(answer)[0].kind, claims(answer)[0].name) == (claim, question.subject.name)
        assert 0.4 < len(answer) / len(question.answer) < 2.5
