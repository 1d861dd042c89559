"""Catalogues: what they answer, what they refuse, and what loading the largest one costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from vgpt2.sql.catalogue import Catalogue, CatalogueError, Column, ForeignKey, Object, load_catalogue

ROOT = Path(__file__).parents[3]
CORE = ROOT / "data" / "catalogues" / "vista-core"
FULL = Path(os.environ.get("VGPT2_FULL_CATALOGUE", ROOT.parent / "shared" / "data" / "vista"))
needs_full = pytest.mark.skipif(
    not (FULL / "columns.json").exists(), reason="the full catalogue is not here; VGPT2_FULL_CATALOGUE names its folder"
)


@cache
def core() -> Catalogue:
    return load_catalogue(CORE)


def obj(name: str) -> Object:
    found = core().get(name)
    assert found is not None
    return found


def test_the_bundled_catalogue_holds_what_its_readme_says() -> None:
    assert (len(core()), core().n_columns, len(core().foreign_keys)) == (125, 4795, 450)


def test_names_are_looked_up_in_exact_case() -> None:
    assert core().has("APTH")
    assert not core().has("apth")
    assert core().get("apth") is None
    assert core().ignoring_case("apth") is core().get("APTH")


@pytest.mark.parametrize(
    ("name", "company"),
    [("APTH", "APCo"), ("PMSL", "PMCo"), ("APHB", "Co"), ("HQCO", "HQCo"), ("HQBC", "Co"), ("GLDT", "GLCo"), ("INMT", "INCo")]
    + [("SMWorkCompleted", "SMCo"), ("APVM", None), ("ARCM", None), ("HQTX", None), ("PMFM", None), ("EMRC", None)],
)  # fmt: skip
def test_the_company_column_is_the_modules_own_the_batchs_or_none(name: str, company: str | None) -> None:
    assert obj(name).company_column == company


def test_group_columns_are_those_by_which_companies_share_masters() -> None:
    assert "VendorGroup" in obj("APTH").group_columns
    assert "PhaseGroup" in obj("JCJP").group_columns
    assert "APCo" not in obj("APTH").group_columns


def test_joins_are_whole_keys_in_both_directions_and_in_the_names_asked_for() -> None:
    expected = [ForeignKey("APTL", ("APCo", "Mth", "APTrans"), "APTH", ("APCo", "Mth", "APTrans"), "inferred")]
    assert core().joins("APTL", "APTH") == core().joins("APTH", "APTL") == expected
    assert core().joins("PMSL", "JCJM")[0].pairs == (("PMCo", "JCCo"), ("Project", "Job"))
    assert core().joins("APTH", "SMInvoice") == []


def test_a_view_stands_for_its_base_table_in_joins() -> None:
    table = Object("bA", "table", (Column("Co"), Column("Id")))
    view, other = Object("A", "view", table.columns, base_table="bA"), Object("B", "view", table.columns)
    catalogue = Catalogue([table, view, other], [ForeignKey("B", ("Co",), "A", ("Co",))])
    assert catalogue.joins("bA", "B") == [ForeignKey("B", ("Co",), "bA", ("Co",))]


def test_a_base_table_is_known_even_where_only_its_view_is_listed() -> None:
    assert core().knows("bAPTH")
    assert core().knows("APTH")
    assert not core().knows("bAPTX")
    assert core().views_of("bAPTH") == ("APTH",)
    assert core().base_of("APTH") == "bAPTH"
    assert core().base_of("NoSuch") == "NoSuch"


def test_a_family_is_a_chain_of_keys_shortest_first() -> None:
    family = core().family("APTL")
    assert [name for name in family if name in ("APTH", "APTL", "APTD")] == ["APTH", "APTL", "APTD"]
    assert core().family("NoSuch") == ()


@pytest.mark.parametrize(
    ("wrong", "right"), [("APTHH", "APTH"), ("AP_TH", "APTH"), ("apth", "APTH"), ("JCCDD", "JCCD"), ("SMWorkOrders", "SMWorkOrder")]
)
def test_the_nearest_name_is_the_one_meant(wrong: str, right: str) -> None:
    assert core().nearest(wrong)[0] == right


def test_nothing_is_near_to_what_is_far() -> None:
    assert core().nearest("Quantenchromodynamik") == []
    assert core().nearest("") == []


def test_the_fingerprint_follows_the_content_and_not_the_order() -> None:
    columns = (Column("A"), Column("B"))
    one = Catalogue([Object("T", "table", columns), Object("U", "view", columns)])
    same = Catalogue([Object("U", "view", columns), Object("T", "table", columns)])
    other = Catalogue([Object("T", "table", columns[:1]), Object("U", "view", columns)])
    assert one.fingerprint == same.fingerprint != other.fingerprint
    assert load_catalogue(CORE).fingerprint == core().fingerprint


@pytest.mark.parametrize(
    ("column", "text"),
    [
        (Column("c", "varchar", length=30), "varchar(30)"),
        (Column("c", "varchar", length=-1), "varchar(max)"),
        (Column("c", "numeric", precision=12, scale=2), "numeric(12,2)"),
        (Column("c", "int"), "int"),
        (Column("c"), None),
    ],
)
def test_types_are_written_as_create_table_writes_them(column: Column, text: str | None) -> None:
    assert column.type_text == text


def write(folder: Path, **files: object) -> Path:
    for name, rows in files.items():
        (folder / f"{name}.json").write_text(json.dumps(rows), encoding="utf-8")
    return folder


T = {"name": "T", "kind": "table"}
A = {"object": "T", "column": "A"}


def test_a_folder_with_the_least_of_fields_loads(tmp_path: Path) -> None:
    catalogue = load_catalogue(write(tmp_path, objects=[T], columns=[A]))
    assert catalogue.objects["T"].column_names == ("A",)
    assert catalogue.objects["T"].description is None


def test_columns_come_in_ordinal_order(tmp_path: Path) -> None:
    columns = [{**A, "column": "Z", "ordinal": 2}, {**A, "column": "Y", "ordinal": 1}]
    assert load_catalogue(write(tmp_path, objects=[T], columns=columns)).objects["T"].column_names == ("Y", "Z")


def test_a_key_that_leaves_the_catalogue_is_left_out(tmp_path: Path) -> None:
    key = {"from_object": "T", "from_columns": ["A"], "to_object": "Elsewhere", "to_columns": ["A"]}
    assert load_catalogue(write(tmp_path, objects=[T], columns=[A], foreign_keys=[key])).foreign_keys == ()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "objects.json: no such file|columns.json: no such file"),
        ({"objects": [T]}, "columns.json: no such file"),
        ({"objects": [T], "columns": {}}, "columns.json: holds a dict; it must be a list of rows"),
        ({"objects": [T], "columns": [{"column": "A"}]}, "columns.json: row 1 must be an object with the fields object, column"),
        ({"objects": [{**T, "kind": "procedure"}], "columns": []}, "kind of 'T' is 'procedure'; it must be 'table' or 'view'"),
        ({"objects": [], "columns": [A]}, "'T' is not in objects.json"),
        (
            {
                "objects": [T],
                "columns": [A],
                "foreign_keys": [{"from_object": "T", "from_columns": ["A"], "to_object": "T", "to_columns": []}],
            },
            "row 1: 1 columns against 0",
        ),
    ],
)
def test_a_bad_folder_is_refused_in_one_line(tmp_path: Path, files: dict[str, object], message: str) -> None:
    with pytest.raises(CatalogueError, match=message) as caught:
        load_catalogue(write(tmp_path, **files))
    assert "\n" not in str(caught.value)


def test_broken_json_is_refused_by_file(tmp_path: Path) -> None:
    write(tmp_path, columns=[A])
    (tmp_path / "objects.json").write_text("[{", encoding="utf-8")
    with pytest.raises(CatalogueError, match=r"objects.json: not valid JSON"):
        load_catalogue(tmp_path)


@needs_full
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory of a process is read from /proc")
def test_the_full_catalogue_loads_within_its_limits() -> None:
    """3,276 objects and 56,984 columns in at most 1.5 s of CPU and 150 MB, in a process of its own."""
    script = (
        "import re, sys, time; from vgpt2.sql.catalogue import load_catalogue; start = time.process_time();"
        "c = load_catalogue(sys.argv[1]); seconds = time.process_time() - start;"
        "print(len(c), c.n_columns, seconds, re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read())[1])"
    )
    result = subprocess.run([sys.executable, "-c", script, str(FULL)], capture_output=True, text=True, check=True, cwd=ROOT)
    objects, columns, seconds, kilobytes = result.stdout.split()
    assert (int(objects), int(columns)) == (3276, 56984)
    assert float(seconds) < 1.5
    assert int(kilobytes) < 150_000
