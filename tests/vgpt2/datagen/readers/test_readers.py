"""Documents of the sample folder, read as their texts say, and documents that nobody can use."""

import json
import re
from pathlib import Path

import pytest

from vgpt2.datagen import knowledge
from vgpt2.datagen.questions.recipes import training_side
from vgpt2.datagen.questions.world import World
from vgpt2.datagen.readers import DocumentError, named, read_documents, said, sources_in
from vgpt2.datagen.readers.reports import without_comments
from vgpt2.sql.checker import check

SAMPLES = Path(__file__).parents[4] / "data" / "samples" / "documents"


@pytest.fixture(scope="module")
def reading(core):
    return read_documents(sources_in(SAMPLES), core)


def by_name(reading):
    return {document.name: document for document in reading.documents}


def test_a_page_gives_the_columns_and_objects_that_it_names(reading):
    page = by_name(reading)["APTH"]
    assert page.columns == ("APRef", "InvDate", "DueDate", "InvTotal", "OpenYN", "PayMethod", "HoldCode")
    assert page.objects == ("APTL", "APTD", "APVM")
    assert page.where.endswith("APTH.md:1")


def test_a_procedure_gives_its_parameters_with_their_types_and_its_objects(reading):
    first, second = (by_name(reading)[name] for name in ("uspOpenInvoices", "uspJobCostTotal"))
    # bCompany and bMonth are the house's own types: what they stand for is said
    assert first.parameters == (("@apco", "tinyint"), ("@throughmth", "smalldatetime"), ("@vendor", "int"))
    assert first.objects == ("APTH", "APVM")
    assert second.parameters == (("@jcco", "tinyint"), ("@job", "varchar(10)"), ("@total", "numeric(12,2)"))
    assert second.where.endswith("reporting.sql:9")


def test_a_report_gives_its_query_without_comments_and_only_if_the_checker_finds_no_fault(core, reading):
    reports = [d for d in reading.documents if d.kind == "report"]
    assert {d.name for d in reports} == {"job cost by phase", "open invoices by vendor"}
    for document in reports:
        assert check(document.sql, core.catalogue) == []
        assert "--" not in document.sql


def test_a_form_gives_its_table_and_the_columns_of_its_fields(reading):
    form = by_name(reading)["JCJobMaster"]
    assert form.objects == ("JCJM",)
    assert form.fields == (("Job", "Job"), ("Job Description", "Description"))


def test_what_cannot_be_used_is_counted_with_its_reason_and_place(reading):
    assert reading.dropped.counts == {
        "is about no object of the catalogue": 1,
        "unknown_column": 1,
        "unknown_column JCJM.PetName": 1,
        "unknown_table OrderHeader": 1,
    }
    assert reading.dropped.places["unknown_column"][0].endswith("old_vendor_list.sql:4")
    assert reading.dropped.places["unknown_table OrderHeader"][0].endswith("forms.json:10")


def test_a_source_that_is_given_nothing_contributes_nothing_and_says_so(core):
    nothing = read_documents({}, core)
    assert nothing.documents == ()
    assert said(nothing) == [f"{label}: nothing given, contributes nothing" for label in ("pages", "reports", "procedures", "forms")]
    assert knowledge.MAKERS["documents"](World(core, training_side(core)), 50, "1") == []


def test_answers_take_names_from_documents_and_no_sentence(core, reading):
    names = named(core, reading.documents)
    world = World(names, training_side(names), None, reading.documents)
    chats = [chat for category in ("documents", "reports") for chat in knowledge.MAKERS[category](world, 300, "1")]
    from_documents = [question for chat in chats for question in chat if question.source != "catalogue"]
    assert {question.source for question in from_documents} == {"pages", "reports", "procedures", "forms"}
    pages = " ".join(path.read_text(encoding="utf-8") for path in (SAMPLES / "pages").glob("*.md"))
    for question in from_documents:
        prose = re.sub(r"```.*?```", "", question.answer, flags=re.DOTALL)
        assert not _runs(prose) & _runs(pages), question.answer
        assert "Monday" not in question.answer


def _runs(text):
    """Three words of prose on end; names have capitals."""
    words = re.findall(r"\w+", text)
    return {run for run in zip(words, words[1:], words[2:]) if all(word.islower() for word in run)}


def test_without_their_names_procedures_and_forms_are_not_asked_about(core, reading):
    world = World(core, training_side(core), None, reading.documents)
    kinds = {question.kind for chat in knowledge.MAKERS["documents"](world, 200, "1") for question in chat}
    assert kinds == {"page_columns", "page_objects"}


@pytest.mark.parametrize(
    ("header", "parameters"),
    [
        ("CREATE PROC [dbo].[p] AS SELECT 1", ()),
        ("ALTER PROCEDURE p @a int = 1, @b varchar(max) OUTPUT WITH RECOMPILE AS SELECT @c = 2", (("@a", "int"), ("@b", "varchar(max)"))),
        ("create procedure p (@a decimal(9,2), @b date) as select @a", (("@a", "decimal(9,2)"), ("@b", "date"))),
        ("CREATE PROCEDURE p @a AS bMonth, @b dbo.MyType READONLY AS SELECT 1", (("@a", "smalldatetime"), ("@b", None))),
        ("CREATE PROCEDURE p @a INT = NULL, @b nvarchar(40) = 'x, y' AS", (("@a", "int"), ("@b", "nvarchar(40)"))),
    ],
)
def test_headers_of_procedures_in_all_their_forms(core, tmp_path, header, parameters):
    (tmp_path / "p.sql").write_text("-- a script\n" + header, encoding="utf-8")
    (document,) = read_documents({"procedures": tmp_path}, core).documents
    assert (document.name, document.parameters, document.where) == ("p", parameters, f"{tmp_path / 'p.sql'}:2")


def test_comments_go_and_strings_that_look_like_them_stay():
    assert without_comments("/* a\nb */ SELECT '--x', [a--b]  -- c\n\nFROM t;") == "SELECT '--x', [a--b]\nFROM t"


@pytest.mark.parametrize(
    ("label", "file", "content", "message"),
    [
        ("forms", "f.json", b'{"a": {\n"table": }}', r"f\.json:2: not valid JSON"),
        ("forms", "f.json", b"[]", r"f\.json:1: holds a list; a form dictionary maps form names"),
        ("forms", "f.json", b'{"x":\n {"fields": {}}}', r"f\.json:1: a form needs 'table'"),
        ("forms", "f.json", json.dumps({"x": {"table": "APTH", "fields": {"a": 1}}}).encode(), r"f\.json:1: 'fields' must map"),
        ("pages", "p.md", b"# APTH\n\xff", r"p\.md:2: byte 7 is not UTF-8"),
        ("reports", "r.sql", b"SELECT\n\n'\xe9'", r"r\.sql:3: byte 9 is not UTF-8"),
    ],
)
def test_a_document_that_cannot_be_read_gives_one_line_with_file_and_line(core, tmp_path, label, file, content, message):
    (tmp_path / file).write_bytes(content)
    with pytest.raises(DocumentError, match=message) as refused:
        read_documents({label: tmp_path}, core)
    assert "\n" not in str(refused.value)


def test_unknown_sources_and_missing_folders_are_refused(core, tmp_path):
    with pytest.raises(ValueError, match=r"documents: unknown source 'wiki'; allowed are pages"):
        read_documents({"wiki": tmp_path}, core)
    with pytest.raises(DocumentError, match=r"nowhere: no such file or folder"):
        read_documents({"pages": tmp_path / "nowhere"}, core)
    with pytest.raises(DocumentError, match=r"nowhere: no such folder; it holds pages"):
        sources_in(tmp_path / "nowhere")


def test_queries_with_faults_and_files_without_a_query_are_counted(core, tmp_path):
    (tmp_path / "a.sql").write_text("SELECT a.APRef FROM APTH a WITH (NOLOCK) WHERE a.APCo = 1", encoding="utf-8")
    (tmp_path / "b.sql").write_text("-- nothing yet", encoding="utf-8")
    (tmp_path / "c.sql").write_text("SELECT APTH.APRef\nFROM APTH WHERE APTH.APCo = 1 AND APTH.Nope = 2", encoding="utf-8")
    found = read_documents({"reports": tmp_path}, core)
    assert found.documents == ()
    assert {reason: places[0].rpartition(":")[2] for reason, places in found.dropped.places.items()} == {
        "alias": "1",
        "holds no query": "1",
        "unknown_column": "2",
    }
