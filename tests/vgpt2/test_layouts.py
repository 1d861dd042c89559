import pytest

from vgpt2.layouts import FieldError, Layout, Record, Unusable, records

U, A = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
SYSTEM = {"role": "system", "content": "s"}
USER_ONLY = [U]


def one(row, kind):
    (record,) = records(row, kind, Layout(), "f:1")
    return record


@pytest.mark.parametrize(
    ("row", "prompt", "completion"),
    [
        ({"instruction": "q", "input": "", "output": "a"}, [U], "a"),
        ({"instruction": "q", "input": None, "output": "a", "system": None, "history": None}, [U], "a"),
        ({"instruction": "q", "input": "more", "output": "a"}, [{"role": "user", "content": "q\nmore"}], "a"),
        ({"instruction": "", "input": "q", "output": "a"}, [U], "a"),
        ({"instruction": "q", "output": "b", "system": "s", "history": [["q", "a"]]}, [SYSTEM, U, A, U], "b"),
        ({"messages": [U, A]}, [U], "a"),
        ({"messages": [SYSTEM, U, A, U, {"role": "assistant", "content": "b"}]}, [SYSTEM, U, A, U], "b"),
        ({"messages": [U, A], "system": "s"}, [SYSTEM, U], "a"),
        ({"messages": [SYSTEM, U, A], "system": "other"}, [SYSTEM, U], "a"),
        ({"messages": [{"role": "system", "content": " "}, U, A]}, [U], "a"),
        ({"messages": [U, A, U]}, [U], "a"),
        ({"messages": [U, A, U, {**A, "train": False}]}, [U], "a"),
        ({"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}, [U], "a"),
        ({"prompt": "q", "completion": "a"}, [U], "a"),
        ({"prompt": [SYSTEM, U], "completion": [A]}, [SYSTEM, U], "a"),
    ],
)
def test_sft_layouts(row, prompt, completion):
    record = one(row, "sft")
    assert (record.prompt, record.completion) == (prompt, completion)
    assert record.messages == [*prompt, {"role": "assistant", "content": completion}]


def test_turns_that_are_not_to_be_learned_keep_their_mark():
    record = one({"messages": [U, {**A, "train": False}, U, {**A, "train": True}]}, "sft")
    assert [turn.get("train") for turn in record.messages] == [None, False, None, None]


PAIR = {"chosen": "good", "rejected": "bad"}


@pytest.mark.parametrize(
    ("row", "prompt"),
    [
        ({"instruction": "q", "input": "", **PAIR}, [U]),
        ({"prompt": "q", **PAIR}, [U]),
        ({"prompt": [SYSTEM, U, A, U], **PAIR}, [SYSTEM, U, A, U]),
        ({"prompt": [U], "chosen": [{**A, "content": "good"}], "rejected": [{**A, "content": "bad"}]}, [U]),
        ({"prompt": [U], "chosen": [U, {**A, "content": "good"}], "rejected": [U, {**A, "content": "bad"}]}, [U]),
        ({"chosen": [U, A, U, {**A, "content": "good"}], "rejected": [U, A, U, {**A, "content": "bad"}]}, [U, A, U]),
        (
            {
                "conversations": [{"from": "human", "value": "q"}],
                "chosen": {"from": "gpt", "value": "good"},
                "rejected": {"from": "gpt", "value": "bad"},
            },
            [U],
        ),
    ],
)
def test_preference_layouts_as_pairs_and_as_labelled_answers(row, prompt):
    pair = one(row, "dpo")
    assert (pair.prompt, pair.chosen, pair.rejected) == (prompt, "good", "bad")
    desirable, undesirable = records(row, "kto", Layout(), "f:1")
    assert (desirable.prompt, desirable.completion, desirable.label) == (prompt, "good", True)
    assert (undesirable.prompt, undesirable.completion, undesirable.label) == (prompt, "bad", False)
    assert desirable.id != undesirable.id


@pytest.mark.parametrize(
    ("label", "meaning"), [(True, True), (False, False), (1, True), (0, False), ("true", True), ("False ", False), ("1", True)]
)
@pytest.mark.parametrize("name", ["label", "kto_tag"])
def test_labels_become_booleans(label, meaning, name):
    assert one({"instruction": "q", "input": "", "output": "a", name: label}, "kto").label is meaning
    assert one({"prompt": [U], "completion": [A], name: label}, "kto").label is meaning
    assert one({"messages": [U, A], name: label}, "kto").label is meaning


@pytest.mark.parametrize(
    ("row", "kind", "reason"),
    [
        ({"instruction": "q", "output": " \n"}, "sft", "empty answer"),
        ({"instruction": " ", "output": "a"}, "sft", "empty prompt"),
        ({"messages": [U, {**A, "train": False}]}, "sft", "no supervised token"),
        ({"messages": [U]}, "sft", "no supervised token"),
        ({"messages": [A, U, A]}, "sft", "answer without a question"),
        ({"messages": [SYSTEM, A]}, "sft", "empty prompt"),
        ({"messages": [U, A, A]}, "sft", "answer without a question"),
        ({"messages": [U, {**A, "content": ""}, U, A]}, "sft", "empty prompt"),
        ({"prompt": "q", "chosen": "a", "rejected": "a "}, "dpo", "chosen equals rejected"),
        ({"prompt": "q", "chosen": "a", "rejected": ""}, "dpo", "empty answer"),
        ({"prompt": "q", "chosen": "a", "rejected": "a"}, "kto", "chosen equals rejected"),
    ],
)
def test_useless_rows_have_a_reason(row, kind, reason):
    with pytest.raises(Unusable, match=reason):
        one(row, kind)


@pytest.mark.parametrize(
    ("row", "kind", "field", "message"),
    [
        ({"instruction": "q"}, "sft", "output", "is missing"),
        ({"output": "a"}, "sft", "prompt", "is missing"),
        ({}, "sft", "prompt", "is missing"),
        ({"instruction": 3, "output": "a"}, "sft", "instruction", "is a int; it must be text"),
        ({"instruction": "q", "output": ["a"]}, "sft", "output", "holds a str where a message belongs"),
        ({"instruction": "q", "output": "a", "history": [["q"]]}, "sft", "history", "pairs"),
        ({"messages": []}, "sft", "messages", "not a list of messages"),
        ({"messages": [U, "a"]}, "sft", "messages", "holds a str"),
        ({"messages": [U, {"role": "tool", "content": "x"}]}, "sft", "messages", "the role 'tool'"),
        ({"messages": [U, {"role": "assistant", "content": [1]}]}, "sft", "messages", "must be text"),
        ({"messages": [U, {"role": "assistant"}]}, "sft", "messages", "must be text"),
        ({"messages": [U, {**A, "train": "no"}]}, "sft", "messages", "'train': 'no'"),
        ({"prompt": "q", "completion": "\ud800"}, "sft", "completion", "surrogate"),
        ({"prompt": "q", **PAIR}, "sft", "chosen", "preference pair"),
        ({"prompt": "q", "chosen": "a"}, "dpo", "rejected", "is missing"),
        ({"messages": [U, A]}, "dpo", "chosen", "is missing"),
        (PAIR, "dpo", "prompt", "is missing"),
        ({"prompt": [U], "chosen": [U], "rejected": "b"}, "dpo", "chosen", "does not end with an assistant message"),
        ({"prompt": "other", "chosen": [U, A], "rejected": "b"}, "dpo", "chosen", "begins with other messages"),
        ({"chosen": [U, A], "rejected": [SYSTEM, U, {**A, "content": "b"}]}, "dpo", "rejected", "does not begin with the same messages"),
        ({"prompt": "q", "completion": "a"}, "kto", "label", "is missing"),
        ({"prompt": "q", "completion": "a", "label": "maybe"}, "kto", "label", "is 'maybe'; a label is true or false"),
        ({"prompt": "q", "completion": "a", "kto_tag": 2}, "kto", "kto_tag", "is '2'"),
    ],
)
def test_mistakes_name_their_field(row, kind, field, message):
    with pytest.raises(FieldError, match=message) as caught:
        records(row, kind, Layout(), "f:1")
    assert caught.value.field == field
    assert len(str(caught.value)) <= 160


def test_a_row_keeps_its_id_and_what_reports_need():
    row = {"id": 7, "category": "sql", "template": "t1", "objects": ["APTH"], "other": 1, "prompt": "q", "completion": "a"}
    assert one(row, "sft") == Record(
        "sft", USER_ONLY, "7", "f:1", completion="a", meta={"category": "sql", "template": "t1", "objects": ["APTH"]}
    )
    assert one({"prompt": "q", "completion": "a"}, "sft").id == "f:1"
