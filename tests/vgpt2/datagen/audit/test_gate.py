"""A good set passes; a set with one planted defect fails by the rule that is about it."""

import json
from pathlib import Path

import pytest

from vgpt2.datagen.audit.gate import audit
from vgpt2.datagen.audit.lengths import token_counter
from vgpt2.datagen.audit.report import render, summary
from vgpt2.datagen.mistakes import preferences
from vgpt2.datagen.questions import recipes
from vgpt2.datagen.sets import records
from vgpt2.datagen.sets.records import manifest_path

CORE = Path(__file__).parents[4] / "data" / "catalogues" / "vista-core"


def plain(rows):
    return rows


@pytest.fixture(scope="module")
def suite_file(core, tmp_path_factory):
    path = tmp_path_factory.mktemp("suite") / "demo.jsonl"
    records.write(path, records.suite_rows(recipes.suite_questions(core, seed=1, progress=plain)), {})
    return path


@pytest.fixture(scope="module")
def rows(core):
    pairs = {s: preferences.pairs(core, recipe="thin", size=200, seed=5, purpose=s, progress=plain).pairs for s in ("dpo", "kto")}
    return {
        "sft": records.sft_rows(recipes.sft_chats(core, size=600, seed=5, progress=plain)),
        "dpo": records.dpo_rows(pairs["dpo"], seed=5),
        "kto": records.kto_rows(pairs["kto"], seed=5),
    }


def audited(tmp_path, rows, suite=None, catalogue=CORE):
    path = tmp_path / "set.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return audit([path], catalogue=catalogue, suites=[suite] if suite else [], tokenizer=None)


def failed(result):
    return {name for name, outcome in result.files[0].outcomes.items() if outcome.failures}


def sft(prompt, answer, **about):
    return {"messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}], **about}


def pair(chosen, rejected, **about):
    return {"prompt": "Is it there?", "chosen": chosen, "rejected": rejected, **about}


def sql(text):
    return f"```sql\n{text}\n```"


@pytest.mark.parametrize("stage", ["sft", "dpo", "kto"])
def test_a_generated_set_passes_and_its_manifest_proves_it(tmp_path, rows, suite_file, stage):
    result = audited(tmp_path, rows[stage], suite_file)
    assert failed(result) == set(), render(result)
    verdict = json.loads(manifest_path(tmp_path / "set.jsonl").read_text(encoding="utf-8"))["audit"]
    assert verdict["passed"]
    assert verdict["sha256"] == result.files[0].sha256
    answers = sum(len(row["messages"]) // 2 if stage == "sft" else 1 for row in rows[stage])
    assert result.files[0].outcomes["leaks from suites"].checked == answers


GOOD = "SELECT APTH.APRef\nFROM APTH WITH (NOLOCK)\nWHERE APTH.APCo = 1"
JOIN = "SELECT APTH.APRef, APTL.GrossAmt\nFROM APTH WITH (NOLOCK)\nJOIN APTL WITH (NOLOCK) ON {on}\nWHERE APTH.APCo = 1"
PLANTED = {
    "table that is not real": ("unreal names in rewarded answers", [sft("q", sql(GOOD.replace("APTH", "APHeader")))]),
    "column that is not real": ("unreal names in rewarded answers", [sft("q", sql(GOOD.replace("APRef", "InvNum")))]),
    "the plain company column": ("unreal names in rewarded answers", [sft("q", sql(GOOD.replace("APTH.APCo = 1", "APTH.Co = 1")))]),
    "unreal name in prose": ("unreal names in rewarded answers", [sft("q", "The invoices are in APInvoiceHeader, by company.")]),
    "unreal column in prose": ("unreal names in rewarded answers", [sft("q", "APTH.GrossAmt holds the gross amount.")]),
    "fake accepted": ("unreal names in rewarded answers", [sft("Is there APCM?", "APCM exists: AP company master.")]),
    "unreal alternative": ("unreal names in rewarded answers", [sft("q", "APCM does not exist; use APCompany instead.")]),
    "real name refused": ("real names refused", [sft("q", "APTD does not exist; use APTH instead.")]),
    "real column refused": ("real names refused", [sft("q", "APTH.InvTotal does not exist; use APTH.APRef instead.")]),
    "refusal without alternative": ("refusals name an alternative", [sft("q", "APCM does not exist.")]),
    "no hint": ("house rules in rewarded SQL", [sft("q", sql(GOOD.replace(" WITH (NOLOCK)", "")))]),
    "part of a key": ("house rules in rewarded SQL", [sft("q", sql(JOIN.format(on="APTL.APCo = APTH.APCo AND APTL.Mth = APTH.Mth")))]),
    "row twice": ("exact duplicates", [sft("What is APTH?", "APTH exists."), sft("what is  APTH?", "APTH exists.")]),
    "only values differ": (
        "near duplicates",
        [sft(f"APTH for APCo {n}", sql(GOOD.replace("= 1", f"= {n}"))) for n in range(5)],
    ),
    "two answers to one prompt": ("contradictions", [sft("What is APTH?", "APTH exists."), sft("What is APTH?", "APTH exists: headers.")]),
    "chosen also rejected": (
        "contradictions",
        [pair("APTH exists.", "APTH does not exist; use APTL instead."), pair("APTL exists.", "APTH exists.")],
    ),
    "another defect than stated": (
        "stated defect and no other",
        [pair(sql(GOOD), sql(GOOD.replace("APRef", "InvNum")), fault="missing_nolock")],
    ),
    "a second defect": (
        "stated defect and no other",
        [pair(sql(GOOD), sql(GOOD.replace("APRef", "InvNum").replace(" WITH (NOLOCK)", "")), fault="missing_nolock")],
    ),
    "no defect": ("stated defect and no other", [pair("APTH exists.", "APTH exists: headers.", fault="refuses_real")]),
    "right answers three times as long": (
        "lengths of right and wrong answers",
        [pair("APTH exists: it holds the posted invoices of vendors, one row an invoice.", "No.")],
    ),
    "one class": ("both KTO classes", [{"prompt": f"Is APTH number {n}?", "completion": "APTH exists.", "label": True} for n in range(8)]),
    "only refusals": (
        "real and unreal names even, by template",
        [sft(f"Is AP{x}Q?", f"AP{x}Q does not exist; use APTH instead.", template="exists_memory-t01") for x in "BCDEFG"],
    ),
    "never absent": (
        "absent things 5-20 %, by template",
        [
            sft(f"List {x} {n}", sql(GOOD.replace("APRef", x)), template="sql_select-t01")
            for x in ["APRef", "InvDate", "DueDate", "InvTotal", "Vendor"]
            for n in range(4)
        ],
    ),
    "not readable": ("readable rows", [{"question": "q", "answer": "a"}]),
    "two stages": ("readable rows", [sft("q", "APTH exists."), pair("APTL exists.", "APTL does not exist; use APTH instead.")]),
}


@pytest.mark.parametrize("defect", PLANTED)
def test_a_planted_defect_is_found_by_its_rule(tmp_path, defect):
    rule, planted = PLANTED[defect]
    result = audited(tmp_path, planted)
    assert rule in failed(result), render(result)
    assert not result.passed
    assert not json.loads(manifest_path(tmp_path / "set.jsonl").read_text(encoding="utf-8"))["audit"]["passed"]
    assert str(tmp_path) in render(result) or rule not in ("readable rows",)


@pytest.mark.parametrize(
    "answer",
    [
        "APTH exists: AP transaction header.",
        "bAPTH exists: the table behind the view APTH.",
        "No column of APTD holds the 1099 box number.",
        "APTH.InvoiceTotal does not exist; use APTH.InvTotal instead.",
        "APRef is the vendor's invoice number; InvNum exists nowhere.",
        "Sent by EFT or check, see PMRI for the RFI.",
        sql(GOOD),
        sql(JOIN.format(on="APTL.APCo = APTH.APCo AND APTL.Mth = APTH.Mth AND APTL.APTrans = APTH.APTrans")),
    ],
)
def test_a_true_answer_breaks_no_rule_about_names(tmp_path, answer):
    assert not failed(audited(tmp_path, [sft("q", answer)])) - {"refusals name an alternative"}


def test_leaks_are_found_by_prompt_by_sentence_by_object_and_by_invented_name(tmp_path, suite_file, rows):
    suite = [json.loads(line) for line in suite_file.read_text(encoding="utf-8").splitlines()]
    fake = next(r["expect"]["name"] for r in suite if r["group"] == "exists_memory" and not r["expect"]["exists"])
    leaks = {
        "prompt": sft(suite[0]["messages"][0]["content"].upper(), "APTH exists."),
        "sentence": sft("q", "APTH exists.", template=suite[0]["template"]),
        "object": sft("List POHD rows", "POHD exists: PO header."),
        "invented name": sft(f"Is {fake} there?", "It is not."),
    }
    for what, row in leaks.items():
        result = audited(tmp_path, [*rows["sft"][:20], row], suite_file)
        assert len(result.files[0].outcomes["leaks from suites"].failures) == 1, what


def test_other_layouts_are_audited_too(tmp_path):
    alpaca = [{"instruction": "Which table?", "input": "AP", "output": "Use APInvoiceHeader."}]
    kto = [{"instruction": name, "output": f"{name} exists.", "kto_tag": tag} for name, tag in (("APCM", "false"), ("APTH", "true"))]
    assert "unreal names in rewarded answers" in failed(audited(tmp_path, alpaca))
    assert failed(audited(tmp_path, kto)) == set()


def test_an_earlier_answer_of_a_chat_is_audited_unless_it_is_not_trained(tmp_path):
    turns = [("user", "a"), ("assistant", "APCM exists."), ("user", "b"), ("assistant", "APTH exists.")]
    chat = [{"role": role, "content": text} for role, text in turns]
    assert "unreal names in rewarded answers" in failed(audited(tmp_path, [{"messages": chat}]))
    chat[1]["train"] = False
    assert failed(audited(tmp_path, [{"messages": chat}])) == set()


def test_an_empty_file_is_refused_and_the_summary_is_json(tmp_path):
    (tmp_path / "empty.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match="holds no row"):
        audit([tmp_path / "empty.jsonl"], catalogue=CORE, suites=[], tokenizer=None)
    result = audited(tmp_path, [sft("What is APTH?", "APTH exists.")])
    assert json.loads(json.dumps(summary(result)))["files"][0]["rules"]["real names refused"]["failed"] == 0


def test_tokens_are_counted_with_a_tokenizer_or_estimated(tmp_path):
    assert token_counter(None)("x" * 40) == 10
    with pytest.raises(ValueError, match=r"tokenizer\.json: no such file"):
        token_counter(tmp_path)


def test_a_name_of_the_registry_is_read_with_its_columns(tmp_path):
    rows = [{"question": f"Which table {n}?", "reply": "Use APInvoiceHeader.", "ok": n % 2} for n in range(4)]
    (tmp_path / "old.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    columns = {"prompt": "question", "response": "reply", "kto_tag": "ok"}
    registry = tmp_path / "registry.json"
    registry.write_text(json.dumps({"old": {"file_name": "old.jsonl", "columns": columns}}), encoding="utf-8")
    (file,) = audit(["old"], catalogue=CORE, registry=registry).files
    assert (file.stage, file.rows) == ("kto", 4)
    assert len(file.outcomes["unreal names in rewarded answers"].failures) == 2, "the desirable ones"
    assert (file.misnamed[0].name, file.misnamed[0].count) == ("APInvoiceHeader", 2)


def test_the_outcome_does_not_depend_on_the_workers(tmp_path, rows):
    path = tmp_path / "set.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows["sft"] * 2), encoding="utf-8")
    alone = audit([path], catalogue=CORE, workers=0)
    together = audit([path], catalogue=CORE, workers=2)
    assert summary(alone) == summary(together)
    assert alone.files[0].outcomes["exact duplicates"].failures


def test_names_that_a_query_makes_are_known_in_the_prose_beside_it(tmp_path):
    query = "WITH OpenItems AS (SELECT APTH.APCo, COUNT(*) AS ItemCount FROM APTH WITH (NOLOCK) WHERE APTH.APCo = 1 GROUP BY APTH.APCo)\n"
    block = sql(query + "SELECT OpenItems.ItemCount FROM OpenItems WITH (NOLOCK)")
    rule = "unreal names in rewarded answers"
    assert rule not in failed(audited(tmp_path, [sft("q", f"ItemCount counts the rows of OpenItems, by a GROUP BY.\n{block}")]))
    assert rule in failed(audited(tmp_path, [sft("q", f"TotalCount counts the rows of OpenItems.\n{block}")]))


def test_a_bare_yes_is_about_the_name_that_was_asked(tmp_path):
    assert "unreal names accepted" in failed(audited(tmp_path, [sft("Does APCM exist?", "Yes.")]))
    assert "real names refused" in failed(audited(tmp_path, [sft("Does APTH have a column InvTotal that is real?", "No, it does not.")]))
    assert not failed(audited(tmp_path, [sft("Does APTH exist?", "Yes.")]))


@pytest.mark.parametrize(
    ("answer", "name", "nearest"),
    [
        ("Use APInvoiceHeader.", "APInvoiceHeader", ("APHB", "APUI")),  # by its words: headers of invoices, in entry and unapproved
        ("Read APTH.InvoiceTotalAmount.", "APTH.InvoiceTotalAmount", ("APTH.InvTotal",)),  # a column of that object
        ("Use GrossAmount_1.", "GrossAmount_1", ("GrossAmt",)),  # nothing is described so: by its letters
    ],
)
def test_an_unreal_name_stands_beside_what_it_may_mean(tmp_path, answer, name, nearest):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(sft("Where is it?", answer)) + "\n", encoding="utf-8")
    (found,) = audit([path], catalogue=CORE).files[0].misnamed
    assert (found.name, found.count) == (name, 1)
    assert found.nearest == nearest


def test_a_bare_no_about_two_objects_denies_neither(shop_folder, tmp_path):
    """`orders` looks like any word, `order_lines` can only be a name: the question is about a link between them."""
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(sft("Is there a link between orders and order_lines?", "No, there is none.")) + "\n", encoding="utf-8")
    assert "real names refused" not in failed(audit([path], catalogue=shop_folder))
