import contextlib
import json
import os
import random
import sys

import pytest

from vgpt2.dropped import Mistakes
from vgpt2.rowfiles import rows

ROWS = [{"a": 1, "text": "line\nbreak \u2028 你"}, {"a": 2}, {"a": 3}]


def read(path):
    mistakes = Mistakes()
    return list(rows(path, mistakes)), mistakes


def said(mistakes):
    with pytest.raises(ValueError) as caught:
        mistakes.refuse()
    return str(caught.value)


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_json_lines_with_blank_lines_and_either_ending(tmp_path, mark, newline):
    path = tmp_path / "rows.jsonl"
    text = mark + newline.join([json.dumps(ROWS[0], ensure_ascii=False), "", json.dumps(ROWS[1]), "  ", json.dumps(ROWS[2])])
    path.write_bytes(text.encode())
    found, mistakes = read(path)
    assert found == [(1, ROWS[0]), (3, ROWS[1]), (5, ROWS[2])]
    assert mistakes.count == 0


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_an_array_gives_each_row_the_line_it_starts_on(tmp_path, mark):
    path = tmp_path / "rows.json"
    path.write_text(mark + "\n [\n" + ",\n\n".join(json.dumps(row, indent=1) for row in ROWS) + "\n]\n\n", "utf-8")
    found, mistakes = read(path)
    assert [row for _, row in found] == ROWS
    text = path.read_text("utf-8")
    assert [line for line, _ in found] == [text[: text.index(f'"a": {n}')].count("\n") for n in (1, 2, 3)]
    assert mistakes.count == 0


def test_an_array_on_one_line_and_an_empty_one(tmp_path):
    (tmp_path / "one.json").write_text(json.dumps(ROWS), "utf-8")
    (tmp_path / "none.json").write_text("[ ]", "utf-8")
    assert read(tmp_path / "one.json")[0] == [(1, row) for row in ROWS]
    assert read(tmp_path / "none.json")[0] == []


def test_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.Table.from_pylist([{"messages": [{"role": "user", "content": "q", "train": None}], "label": True}, {"label": None}])
    parquet.write_table(table, tmp_path / "rows.parquet")
    found, _ = read(tmp_path / "rows.parquet")
    assert found[0] == (1, {"messages": [{"role": "user", "content": "q", "train": None}], "label": True})
    assert found[1][0] == 2


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (b'{"a": 1}\n{"a": ', 2, "not JSON"),
        (b'{"a": 1}\n{"a": 2} x\n{"a": 3}', 2, "extra data at column 10"),
        (b'{"a": 1}\n\xff\xfe', 2, "byte 1 is not UTF-8"),
        (b'{"a": 1}\n[1]', 2, "not a list"),
        (b'{"a": 1}\n3', 2, "not a int"),
        (b'{"a": 1}\n{"a": ' + b"[" * 100_000, 2, "nested too deeply"),
        (b'{"a": 1}\n{"a": ' + b"9" * 10_000 + b"}", 2, "a number too long"),
        (b'[{"a": 1},\n{"a": ', 2, "not JSON"),
        (b'[{"a": 1},\n{"a": 2}\n', 3, "at the end"),
        (b'[{"a": 1}\n{"a": 2}]', 2, "expecting ','"),
        (b'[{"a": 1},\n]', 2, "not JSON"),
        (b'[{"a": 1}]\n[2]', 1, "at the end"),
        (b'[{"a": 1},\n3]', 2, "not a int"),
        (b'[{"a": 1},\n"\xff"]', 2, "not UTF-8"),
        (b'[{"a": 1},\n' + b"[" * 100_000, 2, "nested too deeply"),
        (b"[", 1, "not JSON"),
    ],
)
def test_what_cannot_be_read_is_a_mistake_of_its_line(tmp_path, content, line, message):
    """Threats 13 and 14: only our own kind of error, whatever stands in the file."""
    path = tmp_path / "rows.json"
    path.write_bytes(content)
    found, mistakes = read(path)
    assert mistakes.count == 1
    assert said(mistakes).startswith(f"{path}:{line}: ")
    assert message in said(mistakes)
    assert all(isinstance(row, dict) for _, row in found)


def test_utf_16_is_named(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(json.dumps(ROWS[1]).encode("utf-16"))
    with pytest.raises(ValueError, match="is UTF-16; save the file as UTF-8"):
        read(path)


def test_many_mistakes_are_counted_after_the_first_three(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("x\n" * 2500, "utf-8")
    lines = said(read(path)[1]).splitlines()
    assert len(lines) == 4
    assert lines[3] == f"and 2,497 more: {path}"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX files")
@pytest.mark.timeout(10)
@pytest.mark.parametrize("make", [os.mkfifo if hasattr(os, "mkfifo") else os.mkdir, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_only_regular_files_are_opened(tmp_path, make):
    """Fault 45: a FIFO would be waited for, a device read for ever."""
    make(tmp_path / "rows.jsonl")
    with pytest.raises(ValueError, match="is not a regular file"):
        read(tmp_path / "rows.jsonl")


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need a privilege there")
def test_data_may_lie_behind_a_symbolic_link(tmp_path):
    (tmp_path / "target").write_text('{"a": 1}', "utf-8")
    (tmp_path / "rows.jsonl").symlink_to(tmp_path / "target")
    assert read(tmp_path / "rows.jsonl")[0] == [(1, {"a": 1})]


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        read(tmp_path / "rows.jsonl")


@pytest.mark.parametrize("ending", ["json", "jsonl", "parquet"])
def test_damaged_files_end_in_our_error_only(tmp_path, ending):
    """Threat 13: truncated, or with bytes changed, 60 times each."""
    path = tmp_path / f"rows.{ending}"
    many = [{"messages": [{"role": "user", "content": f"question {n}"}]} for n in range(30)]
    if ending == "parquet":
        pyarrow = pytest.importorskip("pyarrow")
        pytest.importorskip("pyarrow.parquet").write_table(pyarrow.Table.from_pylist(many), path)
    else:
        path.write_text(json.dumps(many) if ending == "json" else "\n".join(map(json.dumps, many)), "utf-8")
    whole, rng = path.read_bytes(), random.Random(ending)
    for _ in range(60):
        data = bytearray(whole[: rng.randrange(len(whole) + 1)] if rng.random() < 0.3 else whole)
        for _ in range(rng.randrange(1, 4)):
            if data:
                data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data)
        with contextlib.suppress(ValueError):
            assert all(isinstance(row, dict) for _, row in read(path)[0])
