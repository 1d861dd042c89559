"""The columns of tables behind an output, whatever stands between."""

from pathlib import Path

import pytest

from vgpt2.sql.binding import bind
from vgpt2.sql.catalogue import Catalogue, load_catalogue
from vgpt2.sql.lineage import Lineage
from vgpt2.sql.parser import parse


@pytest.fixture(scope="module")
def core() -> Catalogue:
    return load_catalogue(Path(__file__).parents[3] / "data/catalogues/vista-core")


TEXTS = {
    "SELECT h.Vendor, h.InvTotal - h.Amount FROM APTH h": [{"APTH.Vendor"}, {"APTH.InvTotal", "APTH.Amount"}],
    "SELECT * FROM (SELECT Vendor AS v, 1 AS one FROM bAPTH) d": [{"APTH.Vendor"}, set()],
    "WITH a (x) AS (SELECT InvTotal FROM APTH), b AS (SELECT SUM(a.x) AS y FROM a) SELECT b.y FROM b": [{"APTH.InvTotal"}],
    "WITH a AS (SELECT Vendor AS x FROM APTH UNION SELECT Customer FROM ARTH) SELECT a.x FROM a": [{"APTH.Vendor", "ARTH.Customer"}],
    "SELECT (SELECT MAX(l.GrossAmt) FROM APTL l WHERE l.APCo = h.APCo) FROM APTH h": [{"APTL.GrossAmt"}],
    "WITH r AS (SELECT PO, 1 AS n FROM POHD UNION ALL SELECT r.PO, r.n + 1 FROM r) SELECT r.PO FROM r": [{"POHD.PO"}],
    "SELECT d.Vendor FROM nowhere d": [set()],
}


@pytest.mark.parametrize(("text", "expected"), TEXTS.items(), ids=range(len(TEXTS)))
def test_what_an_output_is_read_from(core, text, expected):
    (statement,), _ = parse(text)
    lineage = Lineage(bind([statement], core))
    (*_, last) = lineage.selects(statement.query)
    assert [set(lineage.names(output)) for _, output in lineage.outputs(last)] == expected
