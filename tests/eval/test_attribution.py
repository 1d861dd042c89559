"""Losses by hand: what the perfect schema does not mend is SQL's, what was not shown is retrieval's, the rest is linking's."""

from dataclasses import replace

from eval.attribution import attribution, text
from eval.judged import Judged

BASE = Judged("a", "sql", "g", "?", "", {}, right=True, collapse=None, reason="", shown=["APTH"], suffices=True)


def test_each_loss_is_due_to_one_part():
    wrong, hidden = replace(BASE, right=False), replace(BASE, right=False, suffices=False)
    retrieved = {"fine": BASE, "linking": wrong, "retrieval": hidden, "sql": wrong, "sql, unseen": hidden}
    perfect = {"fine": BASE, "linking": BASE, "retrieval": BASE, "sql": wrong, "sql, unseen": wrong}
    closed = dict.fromkeys(retrieved, wrong)
    found = attribution({"off": closed, "on": retrieved, "gold": perfect})
    assert found.lost == {"retrieval": 1, "linking": 1, "SQL": 2}
    assert found.right == {"off": 0, "on": 1, "gold": 3}
    assert (found.recall, found.questions) == (3, 5)
    assert "lost to linking                    1/5" in text(found)


def test_without_both_ways_nothing_is_said():
    assert attribution({"on": {"a": BASE}}) is None
    assert attribution({"off": {"a": BASE}, "gold": {"a": BASE}}) is None
