import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from faults.caching import KEY, build, made, take
from faults.injection import HERE, needs_linux, run
from tiny_jobs import ROWS, tiny_config

from vgpt2 import tokencache
from vgpt2.config import TrainConfig
from vgpt2.stages import STAGES
from vgpt2.stages.answers import Mismatched
from vgpt2.tokencache import Rows, key_of, load

BUILDER = str(HERE / "caching.py")


def caches(folder: Path) -> list[Path]:
    return sorted(folder.glob("tokens-*"))


def same(found: Rows) -> bool:
    """Whether these are the rows that were built, to the last token."""
    rows = [*found.train, *found.held_out]
    return (found.read, found.dropped.counts, len(found.train)) == (41, {"over-long": 1}, 35) and all(
        (row.where, row.markers, row.label) == (was.where, was.markers, was.label)
        and len(row.sequences) == len(was.sequences)
        and all(np.array_equal(a, b) for one, other in zip(row.sequences, was.sequences) for a, b in zip(one, other))
        for row, was in zip(rows, made(), strict=True)
    )


def never(train, held_out):
    raise AssertionError("the cache is there")


def base_of(array: np.ndarray) -> object:
    while isinstance(array, np.ndarray):
        array = array.base
    return array.obj if isinstance(array, memoryview) else array


def test_rows_come_from_the_cache_the_second_time_as_views_that_cannot_be_written(tmp_path):
    assert same(take(str(tmp_path)))
    found = take(str(tmp_path), build=never)
    assert same(found)
    assert found.cache == caches(tmp_path)[0]
    ids, mask = found.train[3].sequences[0]
    assert (ids.dtype, mask.dtype) == (np.dtype("<i4"), np.dtype(bool))
    assert {type(base_of(array)).__name__ for array in (ids, mask)} == {"mmap"}
    with pytest.raises(ValueError, match="read-only"):
        ids[0] = 1


@pytest.mark.parametrize("stage", ["sft", "dpo", "kto"])
def test_an_example_is_the_same_stored_and_restored(stage):
    job_stage = STAGES[stage](tiny_config(stage))
    for example in ROWS[stage](6):
        again = job_stage.restore(job_stage.store(example))
        assert (again.where, again.tokens, again.units, again.markers) == (example.where, example.tokens, example.units, example.markers)
        for one, other in zip(again.sequences, example.sequences, strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(one, other))
        for one, other in zip(getattr(again, "answers", ()), getattr(example, "answers", ()), strict=True):
            assert one.prompt_tokens == other.prompt_tokens
    if stage == "kto":
        completed, _ = job_stage.complete(ROWS[stage](6), [], seed=0)
        assert all(isinstance(example.answers[1], Mismatched) for example in completed), "put together when read, never kept"


@needs_linux
def test_killed_at_each_file_event_of_the_build_no_short_cache_is_ever_used(tmp_path):
    """INVARIANT 49; fault plan 4: the next run builds it anew and leaves nothing of the killed one."""
    counted = run([BUILDER, str(tmp_path / "whole")], tmp_path / "whole")
    assert counted.code == 0, counted.stderr
    kinds = {event.split()[0] for event in counted.events}
    assert kinds >= {"os.mkdir", "open", "fsync", "os.rename"}
    for at in range(1, len(counted.events) + 1):
        folder = tmp_path / f"killed-{at}"
        assert run([BUILDER, str(folder)], folder, at=at, action="kill").code == -9, counted.events[at - 1]
        for cache in caches(folder):
            assert same(load(cache, lambda row: row)), counted.events[at - 1]
        assert same(take(str(folder)))
        assert [path.name for path in folder.iterdir()] == [f"tokens-{KEY[:32]}"], counted.events[at - 1]


@needs_linux
def test_a_disk_that_fails_at_an_event_of_the_build_is_a_refusal_that_leaves_nothing(tmp_path):
    """Fault plan 24; INVARIANT 51: the file is whole before it is mapped, so a full disk is an error and never a SIGBUS."""
    events = run([BUILDER, str(tmp_path / "whole")], tmp_path / "whole").events
    for at, event in enumerate(events, 1):
        if event.split()[0] not in ("open", "os.mkdir", "fsync"):
            continue
        folder = tmp_path / f"full-{at}"
        done = run([BUILDER, str(folder)], folder, at=at, action="full")
        assert (done.code, done.stdout) == (2, ""), event
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"data.cache: {folder}: no space left on device (needs over ")
        assert line.endswith("; free some, or --set data.cache=DIR, or null to keep tokens in memory")
        assert not folder.exists() or not [path for path in folder.iterdir() if path.name.startswith(".")], event


def test_two_runs_that_build_the_same_cache_both_get_it(tmp_path):
    """Fault plan 40: the second finishes while the first is at work, whose own copy is thrown away."""

    def slower(train, held_out):
        assert same(take(str(tmp_path)))
        return build(train, held_out)

    assert same(take(str(tmp_path), build=slower))
    assert len(list(tmp_path.iterdir())) == 1


def test_processes_that_start_together_end_with_one_cache(tmp_path):
    """Fault plan 40."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE.parents[1])])}
    builders = [
        subprocess.Popen([sys.executable, BUILDER, str(tmp_path / "cache")], stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(3)
    ]
    assert [builder.communicate(timeout=60)[0] for builder in builders] == ["35\n"] * 3
    assert len(list((tmp_path / "cache").iterdir())) == 1


@pytest.mark.parametrize("name", ["input_ids.bin", "completion_masks.bin", "rows.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["flipped", "short", "gone"])
def test_a_damaged_cache_is_named_and_made_anew(name, damage, tmp_path):
    """INVARIANTS 51, 53."""
    take(str(tmp_path))
    path = caches(tmp_path)[0] / name
    data = bytearray(path.read_bytes())
    data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    path.unlink() if damage == "gone" else path.write_bytes(bytes(data) if damage == "flipped" else path.read_bytes()[:-3])
    said = []
    assert same(take(str(tmp_path), say=said.append))
    assert len(said) == 1
    assert name in said[0]
    assert said[0].endswith("the tokens are made anew")


@pytest.mark.parametrize("obstacle", ["file", "link", "read-only"])
def test_where_nothing_can_be_written_tokens_stay_in_memory_and_it_is_said(obstacle, tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    if obstacle == "file":
        folder.write_text("mine", "utf-8")
    elif obstacle == "link":
        (tmp_path / "elsewhere").mkdir()
        folder.symlink_to(tmp_path / "elsewhere")
    else:

        def refuse(*_, **__):
            raise OSError(30, "Read-only file system")

        monkeypatch.setattr(Path, "mkdir", refuse)  # chmod does nothing for root
    said = []
    found = take(str(folder), say=said.append)
    assert same(found)
    assert found.cache is None
    assert said[0].startswith(f"warning: data.cache: {folder} cannot be written (")
    assert said[0].endswith("; tokens stay in memory")
    assert len(list(tmp_path.rglob("tokens-*"))) == 0


def test_a_row_that_cannot_be_encoded_leaves_nothing_behind(tmp_path):
    def breaks(train, held_out):
        build(train, held_out)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        take(str(tmp_path), build=breaks)
    assert list(tmp_path.iterdir()) == []


def test_data_that_change_while_they_are_read_are_refused(tmp_path):
    """Fault plan 33: rows of one version are never kept under the key of another."""
    keys = iter(["a" * 64, "b" * 64])
    data = tiny_config("sft", data={"cache": str(tmp_path)}).data
    with pytest.raises(ValueError, match=r"rows\.jsonl: changed while it was read; start again once it is complete"):
        tokencache.rows(data, lambda: next(keys), store=lambda row: row, restore=lambda row: row, build=build, say=print)
    assert list(tmp_path.iterdir()) == []


def test_the_caches_unused_for_longest_go_first_and_the_one_in_use_stays(tmp_path):
    for age, key in ((3, "a"), (1, "b"), (2, "c")):
        take(str(tmp_path), key=key * 64)
        os.utime(tmp_path / f"tokens-{key * 32}", (1e9 - age, 1e9 - age))
    size = sum(path.stat().st_size for path in (tmp_path / f"tokens-{'a' * 32}").iterdir())
    take(str(tmp_path), key="d" * 64, cache_gib=3.5 * size / 2**30)
    assert [path.name[7] for path in caches(tmp_path)] == ["b", "c", "d"]
    take(str(tmp_path), key="c" * 64, build=never, cache_gib=0.5 * size / 2**30)
    assert [path.name[7] for path in caches(tmp_path)] == ["c"]


def test_sweeping_leaves_builders_at_work_and_files_that_are_not_ours(tmp_path):
    for name in (
        f".tokens-x-{tokencache._host()}-{os.getpid()}.00000000.tmp",
        ".tokens-x-00000000-1.00000000.tmp",
        "notes",
        ".other.00000000.tmp",
    ):
        (tmp_path / name).mkdir()
    (tmp_path / ".tokens-x.00000000.trash").mkdir()
    before = {path.name for path in tmp_path.iterdir()}
    take(str(tmp_path), cache_gib=1e-9)
    assert before - {path.name for path in tmp_path.iterdir()} == {".tokens-x.00000000.trash"}
    os.utime(tmp_path / ".tokens-x-00000000-1.00000000.tmp", (1e9, 1e9))  # another machine's, a day without a change
    take(str(tmp_path))
    assert not (tmp_path / ".tokens-x-00000000-1.00000000.tmp").exists()


def test_the_key_follows_all_that_decides_the_rows_and_nothing_else(tmp_path):
    """By content, tokenizer, template and encoding options."""
    (tmp_path / "rows.jsonl").write_text('{"instruction": "a", "output": "b"}\n', "utf-8")
    shutil.copy(tmp_path / "rows.jsonl", tmp_path / "more.jsonl")

    def cfg(**keys) -> TrainConfig:
        keys["data"] = {"train": [str(tmp_path / "rows.jsonl")], "registry": str(tmp_path / "registry.json")} | keys.get("data", {})
        return tiny_config(keys.pop("stage", "sft"), **keys)

    first = key_of(cfg(), "tokenizer")
    for same_rows in (
        cfg(optim={"lr": 0.5}),
        cfg(data={"workers": 2, "cache": str(tmp_path), "cache_gib": 3, "require_audit": False}),
        cfg(batch={"micro_batch_tokens": 512}),
    ):
        assert key_of(same_rows, "tokenizer") == first
    others = {
        "seed": key_of(cfg(seed=1), "tokenizer"),
        "stage": key_of(cfg(stage="kto"), "tokenizer"),
        "cutoff": key_of(cfg(data={"cutoff_tokens": 8}), "tokenizer"),
        "rows": key_of(cfg(data={"max_rows": 3}), "tokenizer"),
        "share": key_of(cfg(data={"validation": 0.5}), "tokenizer"),
        "weight": key_of(cfg(data={"weights": {str(tmp_path / "rows.jsonl"): 2.0}}), "tokenizer"),
        "held out": key_of(cfg(data={"validation": str(tmp_path / "more.jsonl")}), "tokenizer"),
        "tokenizer": key_of(cfg(), "another"),
    }
    named = {"set": {"file_name": "rows.jsonl"}}
    for what, entry in (("plain", {}), ("columns", {"columns": {"response": "answer"}}), ("mix", {"weight": 2})):
        (tmp_path / "registry.json").write_text(json.dumps({"set": named["set"] | entry}), "utf-8")
        others[what] = key_of(cfg(data={"train": ["set"]}), "tokenizer")
    (tmp_path / "rows.jsonl").write_text('{"instruction": "a", "output": "c"}\n', "utf-8")
    others["content"] = key_of(cfg(), "tokenizer")
    assert len({first, *others.values()}) == 1 + len(others)


@needs_linux
def test_mapped_tokens_take_no_memory_of_the_processs_own(tmp_path):
    """40 MB of tokens in rows of 500; what is left is a view and a name a row."""
    script = (
        "import sys; from dataclasses import replace; import numpy as np; from faults import caching\n"
        "from vgpt2.dropped import Dropped\n"
        "def anonymous():\n"
        "    return next(int(line.split()[1]) for line in open('/proc/self/status') if line.startswith('RssAnon')) / 1024\n"
        "def build(train, held_out):\n"
        "    for n in range(16_000):\n"
        "        train.append(caching.Row(f'f:{n}', ((np.full(500, n, np.int32), np.ones(500, bool)),), (0,)))\n"
        "    return n, Dropped()\n"
        "before = anonymous(); found = caching.take(sys.argv[1], build=build)\n"
        "print(anonymous() - before, sum(int(row.sequences[0][0].sum()) for row in found.train))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE.parents[1])])}
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, env=environment, check=True)
    grown_mib, total = done.stdout.split()
    assert int(total) == 500 * sum(range(16_000))
    assert float(grown_mib) < 25
