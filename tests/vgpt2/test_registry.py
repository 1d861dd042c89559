import json

import pytest

from vgpt2.registry import sources


def registry(tmp_path, **entries):
    path = tmp_path / "registry.json"
    path.write_text(json.dumps(entries), "utf-8")
    return path


def test_a_name_is_looked_up_and_everything_else_is_a_path(tmp_path):
    path = registry(
        tmp_path, apr={"file_name": "sft/apr.json", "num_samples": 10, "weight": 0.5, "formatting": "sharegpt", "ranking": False}
    )
    (tmp_path / "plain.jsonl").touch()
    named, plain = sources(["apr", tmp_path / "plain.jsonl"], path)
    assert (named.path, named.cap, named.weight) == (tmp_path / "sft" / "apr.json", 10, 0.5)
    assert (plain.path, plain.cap, plain.weight) == (tmp_path / "plain.jsonl", None, 1)


def test_columns_and_tags_have_the_names_of_dataset_info(tmp_path):
    columns = {"prompt": "question", "response": "answer", "kto_tag": "ok", "messages": "talk"}
    tags = {"role_tag": "who", "content_tag": "what", "user_tag": "Client", "assistant_tag": "bot"}
    (source,) = sources(["s"], registry(tmp_path, s={"file_name": "f", "columns": columns, "tags": tags}))
    layout = source.layout
    assert layout.columns["instruction"] == ("question",)
    assert layout.columns["output"] == ("answer",)
    assert layout.columns["label"] == ("ok",)
    assert layout.columns["messages"] == ("talk",)
    assert layout.columns["chosen"] == ("chosen",)
    assert (layout.role_tags, layout.content_tags) == (("who",), ("what",))
    assert (layout.roles["client"], layout.roles["bot"], layout.roles["user"]) == ("user", "assistant", "user")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({}, "no 'file_name'"),
        ({"hf_hub_url": "a/b"}, "only local files"),
        ({"file_name": "f", "hf_hub_url": "a/b"}, "unknown key 'hf_hub_url'"),
        ({"file_name": 3}, "'file_name' is '3', of the wrong type"),
        ({"file_name": "f", "ranking": 1}, "'ranking'"),
        ({"file_name": "f", "num_samples": True}, "'num_samples'"),
        ({"file_name": "f", "num_samples": 0}, "num_samples 0"),
        ({"file_name": "f", "weight": 0}, "weight is 0"),
        ({"file_name": "f", "weight": -1}, "weight is -1"),
        ({"file_name": "f", "formatting": "chatml"}, "formatting is 'chatml'"),
        ({"file_name": "f", "columns": {"images": "i"}}, "column 'images'"),
        ({"file_name": "f", "columns": {"prompt": 3}}, "column 'prompt'"),
        ({"file_name": "f", "tags": {"function_tag": "f"}}, "tag 'function_tag'"),
        ("f", "no 'file_name'"),
    ],
)
def test_an_entry_that_we_do_not_read_is_refused_by_name(tmp_path, entry, message):
    path = registry(tmp_path, mine=entry)
    with pytest.raises(ValueError, match=message) as caught:
        sources(["mine"], path)
    assert str(caught.value).startswith(f"{path}:mine: ")


@pytest.mark.parametrize(("text", "message"), [("{", ":1: not JSON"), ("[]", "is a list"), ("[" * 100_000, "not JSON")])
def test_a_damaged_registry_is_one_line(tmp_path, text, message):
    path = tmp_path / "registry.json"
    path.write_text(text, "utf-8")
    with pytest.raises(ValueError, match=message) as caught:
        sources(["mine"], path)
    assert "\n" not in str(caught.value)


def test_a_name_that_nobody_knows_gets_a_hint(tmp_path):
    path = registry(tmp_path, sft_apr={"file_name": "f"})
    with pytest.raises(ValueError, match="did you mean sft_apr"):
        sources(["sft_ap"], path)
    with pytest.raises(ValueError, match=r"give a \.jsonl"):
        sources(["nothing/like/it.jsonl"], None)
