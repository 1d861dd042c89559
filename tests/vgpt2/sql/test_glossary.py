"""Glossaries: what a file says, what is left out where the catalogue lacks it, and how mistakes are named."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest

from vgpt2.sql.catalogue import Catalogue, Column, Object, load_catalogue
from vgpt2.sql.glossary import Glossary, GlossaryError, Meaning, find_glossary, load_glossary

ROOT = Path(__file__).parents[3]
CORE = ROOT / "data" / "catalogues" / "vista-core"
FULL = Path(os.environ.get("VGPT2_FULL_CATALOGUE", ROOT.parent / "shared" / "data" / "vista"))

GOOD = """
modules: {AP: [payables]}
abbreviations: {Inv: invoice}
background: ['tmp*']
terms:
  bill:
    synonyms: [vendor invoice]
    says: [we were billed]
    means: [APTH, APTH.InvTotal]
    filter: APTH.OpenYN = 'Y'
    expression: APTH.InvTotal - APTH.Paid
    note: posted only
sayings:
  left to pay:
    says: [cash going out]
    means: [APTH]
"""


@cache
def small() -> Catalogue:
    columns = (Column("APCo", "tinyint"), Column("InvTotal", "numeric"), Column("Paid", "numeric"), Column("OpenYN", "char", length=1))
    return Catalogue([Object("APTH", "view", columns, module="AP", base_table="bAPTH")])


def load(tmp_path: Path, text: str, known: str = "") -> Glossary:
    path = tmp_path / "glossary.yaml"
    path.write_text(text, encoding="utf-8")
    if known:
        (tmp_path / "known_names.txt").write_text(known, encoding="utf-8")
    return load_glossary(path, small())


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    glossary = load(tmp_path, GOOD)
    (term,) = glossary.terms
    assert (term.name, term.phrases, term.says) == ("bill", ("bill", "vendor invoice"), ("we were billed",))
    assert term.means == (Meaning("APTH"), Meaning("APTH", "InvTotal"))
    assert (term.filter, term.expression, term.note) == ("APTH.OpenYN = 'Y'", "APTH.InvTotal - APTH.Paid", "posted only")
    (saying,) = glossary.sayings
    assert (saying.phrases, saying.says) == ((), ("cash going out",))
    assert (glossary.modules["AP"], glossary.abbreviations["inv"], glossary.background) == (("payables",), "invoice", ("tmp*",))
    assert glossary.skipped == ()


def test_names_of_the_wider_database_are_passed_over_and_counted(tmp_path: Path) -> None:
    text = "terms:\n  log: {means: [APLog]}\n  bill: {means: [APLog, APTH]}\n  both: {means: [APLog, APTH.Paid], filter: APLog.X = 1}\n"
    glossary = load(tmp_path, text, known="APTH\nAPLog\n")
    assert glossary.skipped == ("log",)
    assert [(t.name, [str(m) for m in t.means]) for t in glossary.terms] == [("bill", ["APTH"]), ("both", ["APTH.Paid"])]
    assert glossary.terms[1].filter is None  # it stands on an object that is not here


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("terms:\n  bill: {means: [APTX]}", "glossary.yaml:2: there is no table or view 'APTX' in the catalogue; nearest: APTH"),
        ("terms:\n  bill: {means: [APTH.Totl]}", "glossary.yaml:2: 'APTH' has no column 'Totl'; nearest: InvTotal"),
        ("terms:\n  bill: {mean: [APTH]}", "glossary.yaml:2: unknown key 'mean'; did you mean 'means'?"),
        ("terms:\n  bill: {synonyms: [b]}", "glossary.yaml:2: 'bill' has no 'means'"),
        ("terms:\n  bill: {means: APTH}", "glossary.yaml:2: a list of texts belongs here"),
        ("terms:\n  bill: {means: [[APTH]]}", "glossary.yaml:2: a text belongs here"),
        ("terms: [bill]", "glossary.yaml:1: a mapping of keys to values belongs here"),
        ("terms:\n  bill: {means: [APTH]}\n  bill: {means: [APTH]}", "glossary.yaml:3: key 'bill' is given twice"),
        ("terms:\n  bill: {means: [APTH]}\n  debt: {synonyms: [Bill], means: [APTH]}", "glossary.yaml:3: 'Bill' stands in line 2 too"),
        (
            "terms:\n  bill:\n    means: [APTH]\n    filter: APTH.Open = 1",
            "glossary.yaml:4: filter 'APTH.Open = 1' does not hold on 'APTH'",
        ),
        ("terms:\n  bill:\n    means: [APTH]\n    filter: 1 = = 2", "glossary.yaml:4: filter '1 = = 2' does not hold on 'APTH'"),
        ("terms:\n  bill:\n    means: [APTH]\n    expression: SUM(", "glossary.yaml:4: expression 'SUM(' does not hold on 'APTH'"),
        ("words: {}", "glossary.yaml:1: unknown key 'words'"),
        ("- a list", "glossary.yaml:1: a glossary maps the sections"),
        ("terms:\n  bill: ]\n", "glossary.yaml:2: not YAML"),
    ],
)
def test_a_mistake_is_one_line_that_names_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(GlossaryError) as refusal:
        load(tmp_path, text)
    said = str(refusal.value)
    assert said.removeprefix(f"{tmp_path}{os.sep}").startswith(message)
    assert "\n" not in said
    assert len(said) - len(str(tmp_path)) <= 200


def test_an_empty_file_and_no_file_are_an_empty_glossary(tmp_path: Path) -> None:
    assert load(tmp_path, "") == Glossary()
    assert find_glossary(tmp_path / "elsewhere.json", small()) == Glossary()


def test_the_bundled_glossary_names_core_objects_only_and_counts_the_rest() -> None:
    core = load_catalogue(CORE)
    glossary = find_glossary(CORE, core)
    assert all(core.has(m.object) for term in (*glossary.terms, *glossary.sayings) for m in term.means)
    assert len(glossary.terms) > 250
    assert len(glossary.skipped) > 100


@pytest.mark.skipif(not (FULL / "columns.json").exists(), reason="the full catalogue is not here; VGPT2_FULL_CATALOGUE names its folder")
def test_the_bundled_glossary_holds_for_the_whole_database() -> None:
    full = load_catalogue(FULL)
    glossary = load_glossary(CORE / "glossary.yaml", full)
    assert glossary.skipped == ()
    named = {full.objects[m.object].module for term in glossary.terms for m in term.means}
    assert {"AP", "AR", "CM", "EM", "GL", "HQ", "HR", "IN", "JB", "JC", "MS", "PC", "PM", "PO", "PR", "RQ", "SL", "SM"} <= named
