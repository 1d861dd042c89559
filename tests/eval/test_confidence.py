"""Which tokens of an answer count as names, by hand."""

import pytest

from eval.confidence import identifier_logp, names

ANSWER = "APTH has it:\n```sql\nSELECT COUNT(*), [APTH].Mth FROM APTH WITH (NOLOCK) WHERE APTH.APCo = 1 -- APTL\n```"


def test_names_of_the_sql_alone():
    assert [ANSWER[start:end] for start, end in names(ANSWER)] == ["[APTH]", "Mth", "APTH", "APTH", "APCo"]
    assert list(names("There is no APTH.")) == []


def test_tokens_that_touch_a_name_are_added_up():
    pieces = [("SELECT", -1.0), (" AP", -0.5), ("TH.", -0.25), ("Vendor ", -0.125), ("FROM", -4)]
    pieces += [(" AP", -8.0), ("TH", -16.0), ("", -32.0)]
    assert identifier_logp("SELECT APTH.Vendor FROM APTH", pieces) == pytest.approx(-24.875)
    assert identifier_logp("SELECT 1", [("SELECT", -1.0), (" 1", -1.0)]) is None
    assert identifier_logp("other", pieces) is None
