import hashlib
import json
from collections import Counter

from vgpt2 import dataset
from vgpt2.datagen.mistakes import preferences
from vgpt2.datagen.questions import recipes
from vgpt2.datagen.sets import records
from vgpt2.datagen.sets.records import manifest_path


def plain(rows):
    return rows


def written(tmp_path, names, stage, size=120):
    if stage == "sft":
        rows = records.sft_rows(recipes.sft_chats(names, size=size, seed=3, progress=plain))
    else:
        made = preferences.pairs(names, recipe="thin", size=size, seed=3, purpose=stage, progress=plain)
        rows = (records.dpo_rows if stage == "dpo" else records.kto_rows)(made.pairs, seed=3)
    path = tmp_path / f"{stage}.jsonl"
    records.write(path, rows, {"stage": stage, "seed": 3})
    return path, rows


def test_the_trainer_reads_every_row_of_every_layout(core, tmp_path):
    for stage in ("sft", "dpo", "kto"):
        path, rows = written(tmp_path, core, stage)
        found, dropped = dataset.read([path], kind=stage)
        assert (len(found), dropped.total) == (len(rows), 0)
        assert {r.meta["category"] for r in found} == {"exists_memory", "exists_list", "columns", "schema"}
        assert not any(turn["role"] == "system" for r in found for turn in r.prompt)


def test_each_row_says_where_it_comes_from(core, tmp_path):
    _, rows = written(tmp_path, core, "sft")
    assert all({"id", "category", "source", "template", "objects", "messages"} == set(row) for row in rows)
    assert len({row["id"] for row in rows}) == len(rows)
    assert all(row["objects"] for row in rows)


def test_a_chat_shows_its_context_once_and_names_a_template_an_answer(core, tmp_path):
    _, rows = written(tmp_path, core, "sft")
    for row in rows:
        roles = [m["role"] for m in row["messages"]]
        assert roles == ["user", "assistant"] * len(row["template"])
        contexts = [m for m in row["messages"][2::2] if "\n" in m["content"]]
        assert not contexts


def test_the_manifest_counts_the_rows_and_knows_their_hash(core, tmp_path):
    path, rows = written(tmp_path, core, "dpo")
    manifest = json.loads(manifest_path(path).read_text(encoding="utf-8"))
    assert manifest["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert manifest["rows"] == len(rows)
    assert manifest["by_category"] == dict(sorted(Counter(row["category"] for row in rows).items()))
    assert manifest["audit"] is None


def test_labels_are_booleans_and_even_in_each_category_for_real_and_unreal_names_alike(core, tmp_path):
    _, rows = written(tmp_path, core, "kto", size=240)
    assert all(isinstance(row["label"], bool) for row in rows)
    for category in {row["category"] for row in rows}:
        labels = [row["label"] for row in rows if row["category"] == category]
        assert abs(sum(labels) - len(labels) / 2) <= max(1, 0.05 * len(labels))
    faults = Counter(row["fault"] for row in rows)
    assert abs(faults["refuses_real"] - faults["accepts_fake"]) <= 2
    assert all((row["fault"] is None) == row["label"] for row in rows)


def test_rows_are_written_with_the_same_bytes_again(core, tmp_path):
    (tmp_path / "again").mkdir()
    first, _ = written(tmp_path, core, "kto")
    second, _ = written(tmp_path / "again", core, "kto")
    assert first.read_bytes() == second.read_bytes()
    assert b"\r" not in first.read_bytes()
