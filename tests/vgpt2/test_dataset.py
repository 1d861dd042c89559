import json
from pathlib import Path

import pytest
import tiny_tokenizer

from vgpt2.dataset import Dropped, Record, encode_all, read, split, split_turns
from vgpt2.tokenizer import ChatTokenizer

SAMPLES = Path(__file__).parents[2] / "data" / "samples"
REGISTRY = SAMPLES.parent / "registry.json"


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **extra):
    return {"role": "assistant", "content": text, **extra}


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "kind", "count"),
    [
        ("sft_chat.jsonl", "sft", 24),
        ("sft_alpaca.json", "sft", 3),
        ("sft_sharegpt.json", "sft", 2),
        ("dpo.jsonl", "dpo", 16),
        ("dpo_alpaca.json", "dpo", 3),
        ("dpo_messages.jsonl", "dpo", 3),
        ("kto.jsonl", "kto", 16),
        ("kto_alpaca.json", "kto", 4),
        ("dpo.jsonl", "kto", 32),
        ("dpo_messages.jsonl", "kto", 6),
    ],
)
def test_every_sample_is_read_whole(name, kind, count):
    records, dropped = read([SAMPLES / name], kind=kind)
    assert len(records) == count
    assert dropped.total == 0
    assert {record.kind for record in records} == {kind}
    assert len({record.id for record in records}) == count


def test_every_sample_of_the_registry_is_read():
    kinds = {"samples_dpo": "dpo", "samples_kto": "kto"}
    for name in (name for name in json.loads(REGISTRY.read_text("utf-8")) if name.startswith("samples_")):
        records, _ = read([name], kind=kinds.get(name, "sft"), registry=REGISTRY)
        assert records


def test_errors_name_file_line_and_field_all_at_once(tmp_path):
    good = {"prompt": "q", "completion": "a"}
    path = write(tmp_path / "rows.jsonl", [good, {"prompt": "q"}, {"prompt": 3, "completion": "a"}, [1], {"completion": "a"}, good])
    with pytest.raises(ValueError) as caught:
        read([path], kind="sft")
    lines = str(caught.value).splitlines()
    assert [line.partition(" ")[0] for line in lines] == [f"{path}:2:output:", f"{path}:3:prompt:", f"{path}:4:", "and"]
    assert lines[3] == f"and 1 more: {path}"


def test_dropped_rows_are_counted_with_their_first_places(tmp_path):
    """INVARIANTS 22: never silently."""
    rows = [{"prompt": f"q{n}", "completion": "a" if n % 2 else ""} for n in range(10)] + [{"prompt": "q1", "completion": "a"}]
    path = write(tmp_path / "rows.jsonl", rows)
    records, dropped = read([path], kind="sft")
    assert len(records) == 5
    assert dropped.counts == {"empty answer": 5, "duplicate": 1}
    assert dropped.places["empty answer"] == [f"{path}:1", f"{path}:3", f"{path}:5"]
    assert str(dropped).splitlines()[0].split() == ["dropped", "rows", "6"]
    assert "empty answer" in str(dropped).splitlines()[1]
    assert str(dropped).splitlines()[1].endswith(", ...")


def test_dropped_tables_add_up():
    first, second = Dropped(), Dropped()
    first.add("duplicate", "a:1")
    for n in range(4):
        second.add("duplicate", f"b:{n}")
    second.add("empty answer", "b:9")
    both = first + second
    assert both.counts == {"duplicate": 5, "empty answer": 1}
    assert both.places["duplicate"] == ["a:1", "b:0", "b:1"]
    assert (first.total, second.total, both.total) == (1, 5, 6)
    assert str(Dropped()).split() == ["dropped", "rows", "0"]


def test_a_set_without_a_usable_row_is_refused_with_its_reasons(tmp_path):
    path = write(tmp_path / "rows.jsonl", [{"prompt": "q", "chosen": "a", "rejected": "a"}] * 2)
    with pytest.raises(ValueError, match="no usable row; dropped: 2 chosen equals rejected"):
        read([path], kind="dpo")


@pytest.mark.parametrize("text", ["", "\n\n", "[]", "\ufeff"])
def test_an_empty_file_is_refused(tmp_path, text):
    path = tmp_path / "rows.jsonl"
    path.write_text(text, "utf-8")
    with pytest.raises(ValueError, match="holds no row"):
        read([path], kind="sft")


def test_labels_of_one_class_are_refused_and_a_trial_is_not(tmp_path):
    rows = [{"prompt": f"q{n}", "completion": "a", "label": True} for n in range(3)]
    path = write(tmp_path / "rows.jsonl", rows)
    with pytest.raises(ValueError, match="all 3 rows are desirable; KTO needs undesirable answers too"):
        read([path], kind="kto")
    assert len(read([path], kind="kto", max_rows=2)[0]) == 2


def test_a_trial_reads_no_further_than_it_must(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "q", "completion": ""}\n{"prompt": "q", "completion": "a"}\nnever read', "utf-8")
    records, dropped = read([path], kind="sft", max_rows=1)
    assert [record.where for record in records] == [f"{path}:2"]
    assert dropped.total == 1


def test_a_mix_takes_caps_and_weights_by_seed(tmp_path):
    for name in ("a", "b", "c"):
        write(tmp_path / f"{name}.jsonl", [{"prompt": f"{name}{n}", "completion": "x"} for n in range(100)])
    entries = {
        "all": {"file_name": "a.jsonl"},
        "capped": {"file_name": "b.jsonl", "num_samples": 10},
        "mixed": {"file_name": "c.jsonl", "weight": 1.3},
    }
    registry = tmp_path / "registry.json"
    registry.write_text(json.dumps(entries), "utf-8")

    def prompts(seed):
        records, dropped = read(list(entries), kind="sft", registry=registry, seed=seed)
        assert dropped.total == 0
        return [record.prompt[0]["content"] for record in records]

    first = prompts(0)
    assert [sum(text.startswith(name) for text in first) for name in "abc"] == [100, 10, 130]
    assert first[100:110] == [f"b{n}" for n in range(10)]
    assert first == prompts(0)
    assert first[:210] == prompts(1)[:210]
    assert first[210:] != prompts(1)[210:]


def record(prompt, completion="a", **fields):
    return Record("sft", [user(prompt)], f"{prompt}/{completion}", "f:1", completion=completion, **fields)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.9])
def test_a_split_keeps_every_prompt_on_one_side(share):
    """Written differently, it is the same prompt: case, white space, full-width letters."""
    spellings = ["Which table {n}?", "which  table\n{n}?", "WHICH TABLE {n}? ", "Ｗhich table {n}?"]
    records = [record(spelling.format(n=n), completion=str(m)) for n in range(100) for m, spelling in enumerate(spellings)]
    train, held_out = split(records, share, seed=0)
    number = lambda r: int(r.prompt[0]["content"].strip(" ?").split()[-1])  # noqa: E731
    assert len(train) + len(held_out) == 400
    assert not {number(r) for r in train} & {number(r) for r in held_out}
    assert len(held_out) == round(400 * share / 4) * 4
    assert (train, held_out) == split(records, share, seed=0)
    assert held_out != split(records, share, seed=1)[1]
    assert [r.id for r in train] == [r.id for r in records if r in train]


def test_a_split_never_leaves_a_side_empty_and_never_cuts_one_prompt():
    large = [record("same", completion=str(n)) for n in range(50)]
    train, held_out = split([*large, record("other")], 0.01, seed=0)
    assert [r.prompt[0]["content"] for r in held_out] == ["other"]
    assert len(train) == 50
    with pytest.raises(ValueError, match="cannot be held out of one prompt"):
        split(large, 0.1, seed=0)
    assert split(large, 0, seed=0) == (large, [])


def test_the_answer_does_not_decide_the_side():
    pairs = [Record("dpo", [user(f"q{n % 10}")], str(n), "f:1", chosen=str(n), rejected="-") for n in range(100)]
    train, held_out = split(pairs, 0.2, seed=3)
    assert len({r.prompt[0]["content"] for r in held_out}) == 2
    assert len(train) == 80


def test_turns_are_split_for_templates_that_rewrite_earlier_ones(tmp_path):
    """INVARIANTS 41: every assistant turn is learned once, as the model would have written it."""
    tokenizer = ChatTokenizer.load(tiny_tokenizer.chatml(tmp_path, template=tiny_tokenizer.THINKING), system=None)
    turns = [user("a"), assistant("one"), user("b"), assistant("two", train=False), user("c")]
    whole = Record("sft", turns, "x", "f:1", completion="three")
    rows = split_turns([whole])
    assert [(row.id, row.completion) for row in rows] == [("x/1", "one"), ("x/2", "three")]
    supervised = []
    for row in rows:
        encoded = tokenizer.encode(row.messages)
        ids = [token for token, is_on in zip(encoded.input_ids, encoded.completion_mask) if is_on]
        supervised.append(tokenizer.decode(ids, controls=True))
    assert supervised == [f"<think>\n\n</think>\n\n{text}<|im_end|>" for text in ("one", "three")]
    single = record("q")
    assert split_turns([single]) == [single]


def test_reading_splitting_and_encoding_fit_together(tmp_path):
    tokenizer = ChatTokenizer.load(tiny_tokenizer.chatml(tmp_path), system="Be brief.")
    records, _ = read([SAMPLES / "sft_chat.jsonl"], kind="sft")
    train, held_out = split(records, 0.2, seed=0)
    encoded, dropped = encode_all([*train, *held_out], lambda row, tok: tok.encode(row.messages), tokenizer=tokenizer)
    assert len(encoded) == 24
    assert sum(row.markers for row in encoded) == 1
    assert dropped.total == 0
