import json
from pathlib import Path

import pytest

from vgpt2.datagen.__main__ import main
from vgpt2.datagen.audit.gate import audit
from vgpt2.datagen.audit.rules import NAME_RULES
from vgpt2.datagen.sets.records import manifest_path

CORE = Path(__file__).parents[4] / "data" / "catalogues" / "vista-core"
OLD_SQL = "```sql\nSELECT apref FROM APTH WITH (NOLOCK) WHERE Co = @Co\n```"
NEW_SQL = "```sql\nSELECT APRef FROM APTH WITH (NOLOCK) WHERE APCo = @Co\n```"
FAKE_SQL = "```sql\nSELECT InvNum FROM APTH WITH (NOLOCK) WHERE APCo = 1\n```"


def fixed(tmp_path, rows, name="out.jsonl"):
    source, out = tmp_path / "old.jsonl", tmp_path / name
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert main(["audit", str(source), "--catalogue", str(CORE), "--fix", str(out)]) == 0
    text = out.read_text(encoding="utf-8")
    return json.loads(text) if name.endswith(".json") else [json.loads(line) for line in text.splitlines()]


def test_an_old_sft_file_is_mended_and_its_inventions_are_left_out(tmp_path, capsys):
    rows = [
        {"instruction": "List invoices.", "input": "", "output": OLD_SQL, "extra": [1]},
        {"instruction": "List invoice numbers.", "input": "", "output": FAKE_SQL},
        {"instruction": "Is APTD real?", "output": "No, APTD does not exist; use APTH instead."},
        {"instruction": "What is APTH?", "output": "APTH exists."},
        {"instruction": "What is APTH?", "output": "APTH exists."},
        {"instruction": "What is APTL?", "output": ""},
    ]
    assert fixed(tmp_path, rows) == [{**rows[0], "output": NEW_SQL}, rows[3]]
    said = capsys.readouterr().out
    assert "2 of 6 rows kept, 2 repairs" in said
    dropped = ("unreal names in rewarded answers", "real names refused", "duplicate", "empty answer")
    for part in ("case: apref -> APRef", "company column: Co -> APCo", *dropped):
        assert part in said
    assert "old.jsonl:2" in said
    manifest = json.loads(manifest_path(tmp_path / "out.jsonl").read_text(encoding="utf-8"))
    assert manifest["rows"] == 2
    assert sum(manifest["dropped"].values()) == 4
    outcomes = audit([tmp_path / "out.jsonl"], catalogue=CORE).files[0].outcomes
    assert not any(outcomes[rule].failures for rule in NAME_RULES)


def test_labels_become_booleans_and_only_rewarded_answers_are_mended(tmp_path):
    rows = [
        {"instruction": "a", "output": OLD_SQL, "kto_tag": "true"},
        {"instruction": "b", "output": OLD_SQL, "kto_tag": "False"},
        {"instruction": "c", "output": OLD_SQL, "label": 0},
        {"instruction": "d", "chosen": OLD_SQL, "rejected": OLD_SQL.replace("APTH", "APHeader")},
        {"instruction": "e", "chosen": OLD_SQL, "rejected": NEW_SQL},
    ]
    made = fixed(tmp_path, rows)
    assert [(row.get("kto_tag"), row.get("label")) for row in made[:3]] == [(True, None), (False, None), (None, False)]
    assert [row["output"] for row in made[:3]] == [NEW_SQL, OLD_SQL, OLD_SQL]
    assert made[3:] == [{**rows[3], "chosen": NEW_SQL}], "a pair whose answers became equal is left out"


def test_conversations_keep_their_layout_and_an_array_stays_one(tmp_path):
    turns = (("human", OLD_SQL), ("gpt", OLD_SQL), ("human", "b"), ("gpt", "Yes."))
    chat = [{"from": role, "value": text} for role, text in turns]
    made = fixed(tmp_path, [{"conversations": chat, "id": 7}], "out.json")
    assert made == [{"conversations": [chat[0], {"from": "gpt", "value": NEW_SQL}, *chat[2:]], "id": 7}]


def test_the_outcome_does_not_depend_on_the_workers(tmp_path):
    rows = [{"instruction": f"List invoices {n}.", "output": (OLD_SQL, FAKE_SQL, "APTH exists.")[n % 3]} for n in range(450)]
    source = tmp_path / "old.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    outs = [tmp_path / f"{n}.jsonl" for n in (0, 2)]
    for n, out in zip((0, 2), outs):
        assert main(["audit", str(source), "--catalogue", str(CORE), "--fix", str(out), "--workers", str(n)]) == 0
    assert outs[0].read_bytes() == outs[1].read_bytes()


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"instruction": "a", "output": FAKE_SQL}], "none of its 1 rows can be kept"),
        ([], "none of its 0 rows can be kept"),
    ],
)
def test_nothing_is_written_where_nothing_is_left(tmp_path, capsys, rows, says):
    source = tmp_path / "old.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert main(["audit", str(source), "--catalogue", str(CORE), "--fix", str(tmp_path / "out.jsonl")]) == 2
    assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [source]


def test_the_file_itself_is_never_written_over(tmp_path, capsys):
    source = tmp_path / "old.jsonl"
    source.write_text(json.dumps({"instruction": "a", "output": OLD_SQL}) + "\n", encoding="utf-8")
    before = source.read_bytes()
    assert main(["audit", str(source), "--catalogue", str(CORE), "--fix", str(source)]) == 2
    assert "is the file itself" in capsys.readouterr().err
    assert source.read_bytes() == before
