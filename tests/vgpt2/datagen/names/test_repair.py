import pytest

from vgpt2.datagen.names.repair import repaired
from vgpt2.sql.checker import check

CASES = {
    "the company of the one table": ("SELECT APRef FROM APTH WHERE Co = @Co", "SELECT APRef FROM APTH WHERE APCo = @Co"),
    "by the table's name": ("SELECT 1 FROM ARTH WHERE ARTH.Co = 1", "SELECT 1 FROM ARTH WHERE ARTH.ARCo = 1"),
    "by its alias, each table its own": (
        "SELECT 1 FROM APTH h JOIN JCCD j ON h.Co = j.Co",
        "SELECT 1 FROM APTH h JOIN JCCD j ON h.APCo = j.JCCo",
    ),
    "case of table, then of its column": ("SELECT apref FROM [apth]", "SELECT APRef FROM [APTH]"),
    "quoted, beside a literal like it": (
        "SELECT [co] FROM APTH WHERE APRef = 'Co'",
        "SELECT [APCo] FROM APTH WHERE APRef = 'Co'",
    ),
}
DOUBTFUL = {
    "two tables and no qualifier": "SELECT 1 FROM APTH h JOIN JCCD j ON h.APCo = j.JCCo WHERE Co = 1",
    "a table that has the column": "SELECT Co FROM APHB",
    "another module's company": "SELECT JCCo FROM APTH",
    "an unknown table": "SELECT Co FROM APHeader",
    "an invented column": "SELECT InvNum FROM APTH",
    "no SQL at all": "SELECT Co FROM WHERE APTH",
    "behind a derived table": "SELECT t.Co FROM (SELECT APRef FROM APTH) t",
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_certain_is_mended(core, case):
    sql, expected = CASES[case]
    better, repairs = repaired(sql, core.catalogue)
    assert better == expected
    assert repairs
    assert not [f for f in check(better, core.catalogue) if f.code in ("unknown_column", "case")]


@pytest.mark.parametrize("case", DOUBTFUL)
def test_what_leaves_a_doubt_stays(core, case):
    assert repaired(DOUBTFUL[case], core.catalogue) == (DOUBTFUL[case], [])
