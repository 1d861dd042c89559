import json

import pytest

from vgpt2.datagen.__main__ import main
from vgpt2.datagen.sets.mixing import mix, table


@pytest.fixture
def registry(tmp_path):
    """Set a: 10 rows of 20 characters; b: 4 rows of 10, the first of them in a too."""
    for name, count, size in (("a", 10, 20), ("b", 4, 10)):
        rows = [{"instruction": f"{name}{n}".ljust(size - 1, "?"), "output": "!"} for n in range(count)]
        if name == "b":
            rows[0] = {"instruction": "a0".ljust(19, "?"), "output": "!"}
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    entries = {"a": {"file_name": "a.jsonl", "num_samples": 8}, "b": {"file_name": "b.jsonl", "weight": 2}}
    path = tmp_path / "registry.json"
    path.write_text(json.dumps(entries), encoding="utf-8")
    return path


def test_caps_weights_and_duplicates_by_hand(registry):
    (a, b), dropped = mix(["a", "b"], kind="sft", registry=registry)
    assert (a.rows, a.characters, b.rows, b.characters) == (8, 160, 6, 60)
    assert dropped.counts == {"duplicate": 1}
    (a, b), _ = mix(["a", "b"], kind="sft", registry=registry, weights={"a": 0.5}, caps={"b": 1})
    assert (a.rows, b.rows) == (4, 2), "half of a's first 8 rows; b's first usable row twice"


def test_the_table_shows_shares_and_audits(registry, capsys):
    assert main(["mix", "a", "b=1", "--stage", "sft", "--registry", str(registry)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["a", "8", "1", "8", "72.7%", "160", "84.2%", "not", "passed"]
    assert lines[2].split() == ["b", "-", "1", "3", "27.3%", "30", "15.8%", "not", "passed"]
    assert table([]).startswith("set")


@pytest.mark.parametrize(
    ("sets", "says"), [(["a=0"], "a=0: a weight is a number above 0"), (["a=x"], "a=x: a weight"), (["c"], "no such file, and no name")]
)
def test_a_wrong_weight_or_name_is_one_line(registry, capsys, sets, says):
    assert main(["mix", *sets, "--stage", "sft", "--registry", str(registry)]) == 2
    assert says in capsys.readouterr().err


def test_a_weight_of_a_set_that_is_not_trained_is_refused(registry):
    with pytest.raises(ValueError, match="c: has a weight or a cap and is none of the sets a, b"):
        mix(["a", "b"], kind="sft", registry=registry, caps={"c": 3})
