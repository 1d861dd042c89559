import errno
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import injection
from faults.injection import needs_linux
from faults.saving import save_step, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vgpt2 import atomic, checkpoint
from vgpt2.checkpoint import CheckpointError, SaveFailed, newest_good, point, resolve, rotate, save, steps, sweep
from vgpt2.manifest import MANIFEST, verify

SAVING = str(Path(injection.HERE, "saving.py"))
NAMES = ["adapter_model.safetensors", "manifest.json", "optimizer.safetensors", "state.json"]


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory where the system has such a folder: here the order of flushes matters, not how long a disk takes for 5,000 of them."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder).resolve()


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "sft-apr"
    folder.mkdir()
    return folder


def filled(run_dir: Path, *numbers: int) -> Path:
    for number in numbers:
        save_step(run_dir, number)
    return run_dir


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def snapshot(run_dir: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run_dir)): path.read_bytes() for path in run_dir.rglob("*") if path.is_file()}


# What is saved


def test_a_saved_folder_holds_the_files_and_a_manifest_whose_hashes_sha256sum_confirms(run_dir):
    folder = save(run_dir, 400, write(7), meta={"loss": 0.25, "nested": {"1": None}})
    assert folder.name == "step-000400"
    assert sorted(names_in(folder)) == NAMES
    assert verify(folder) == {"loss": 0.25, "nested": {"1": None}}
    manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    for name, entry in manifest["files"].items():
        assert entry["size"] == os.path.getsize(folder / name)
        if shutil.which("sha256sum"):
            assert subprocess.check_output(["sha256sum", folder / name], text=True).split()[0] == entry["sha256"]


def test_steps_beyond_six_digits_keep_their_order(run_dir):
    for number in (999_999, 1_000_000, 1_000_001):
        save(run_dir, number, write(1))
    assert [path.name for path in steps(run_dir)] == ["step-1000001", "step-1000000", "step-999999"]


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX's")
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o027])
def test_files_get_the_modes_that_the_umask_allows_whatever_the_writer_gave_them(run_dir, umask):
    def private(folder: Path) -> None:
        write(1)(folder)
        os.chmod(folder / "optimizer.safetensors", 0o600)  # as safetensors does

    before = os.umask(umask)
    try:
        folder = save(run_dir, 1, private)
        point(run_dir, "latest", folder)
    finally:
        os.umask(before)
    assert {oct(path.stat().st_mode & 0o777) for path in folder.iterdir()} == {oct(0o666 & ~umask)}
    assert (run_dir / "latest").stat().st_mode & 0o777 == 0o666 & ~umask


@needs_linux
def test_every_file_is_flushed_before_the_manifest_the_folder_the_rename_and_the_parent(run_dir):
    """INVARIANTS 32: the order is what makes a power cut harmless."""
    outcome = injection.run([SAVING, str(run_dir), "1"], run_dir)
    assert outcome.code == 0, outcome.stderr
    tmp = next(event.split("/")[1] for event in outcome.events if event.startswith("os.mkdir"))
    ordered = [event.replace(tmp, "TMP") for event in outcome.events if not event.startswith(("open", "os.chmod"))]
    assert ordered[:8] == [
        "os.mkdir /TMP",
        "fsync /TMP/adapter_model.safetensors",
        "fsync /TMP/optimizer.safetensors",
        "fsync /TMP/state.json",
        "fsync /TMP/manifest.json",
        "fsync /TMP",
        "os.rename /TMP",
        "fsync ",
    ]
    assert any(event.startswith("os.rename /.latest.") for event in ordered[8:])


def test_hashing_a_big_file_takes_no_memory_of_its_size(run_dir):
    def big(folder: Path) -> None:
        with open(folder / "optimizer.safetensors", "wb") as file:
            file.truncate(48 << 20)

    tracemalloc.start()
    try:
        verify(save(run_dir, 1, big))
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


# Kills and disks: every file event of a save, a move of the pointers and a rotation

SCENARIOS = {"first": ((), 1), "rotating": ((1, 2, 3), 4), "same step again": ((1, 2, 3), 3)}


def prepared(tmp_path: Path, scenario: str) -> tuple[Path, int, int]:
    """A run folder in the state before the save, the step to save, and the number of file events of that save."""
    before, step = SCENARIOS[scenario]
    template = tmp_path / "template"
    template.mkdir()
    filled(template, *before)
    probe = tmp_path / "probe"
    shutil.copytree(template, probe)
    outcome = injection.run([SAVING, str(probe), str(step)], probe)
    assert outcome.code == 0, outcome.stderr
    return template, step, len(outcome.events)


def check_what_is_visible(run_dir: Path, before: tuple[int, ...], step: int) -> None:
    for folder in steps(run_dir):
        verify(folder)
    found, refused = newest_good(run_dir)
    assert refused == []
    if before:
        assert found is not None
        # in the moment when an equal step is exchanged, its predecessor is the newest; sweep puts the old one back
        assert checkpoint.step_of(found) >= max(number for number in before if number != step)
        for name in ("latest", "best"):
            if (run_dir / (run_dir / name).read_text("utf-8").strip()).exists():
                resolve(run_dir / name)
            else:
                assert (name, step in before) == ("latest", True)
    sweep(run_dir)
    if before:
        assert checkpoint.step_of(newest_good(run_dir)[0]) >= max(before)
        resolve(run_dir / "latest")
        resolve(run_dir / "best")
    assert not [name for name in names_in(run_dir) if name.startswith(".")]


@needs_linux
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_killed_at_any_file_event_nothing_half_written_is_visible_and_the_next_try_ends_as_if_nothing_had_happened(tmp_path, scenario):
    """INVARIANTS 32, 49; fault plan 1, 6."""
    template, step, count = prepared(tmp_path, scenario)
    expected = snapshot(tmp_path / "probe")
    for at in range(1, count + 1):
        run_dir = tmp_path / f"killed-{at}"
        shutil.copytree(template, run_dir)
        outcome = injection.run([SAVING, str(run_dir), str(step)], run_dir, at=at, action="kill")
        assert outcome.code == -9
        assert len(outcome.events) == at
        check_what_is_visible(run_dir, SCENARIOS[scenario][0], step)
        save_step(run_dir, step)
        assert snapshot(run_dir) == expected
        shutil.rmtree(run_dir)
    print(f"file events of a save, {scenario}: {count} covered / {count} existing")


@needs_linux
@pytest.mark.parametrize("action", ["full", "EIO"])
@pytest.mark.parametrize("scenario", ["first", "rotating", "same step again"])
def test_a_disk_that_fails_at_any_file_event_costs_at_most_that_checkpoint(tmp_path, scenario, action):
    """INVARIANTS 32; fault plan 18, 20: survived, said with bytes, nothing half-written, no second fsync of a file whose fsync failed."""
    template, step, count = prepared(tmp_path, scenario)
    expected = snapshot(tmp_path / "probe")
    survived = 0
    for at in range(1, count + 1):
        run_dir = tmp_path / f"failed-{at}"
        shutil.copytree(template, run_dir)
        outcome = injection.run([SAVING, str(run_dir), str(step)], run_dir, at=at, action=action)
        assert outcome.code in (0, 1), outcome.stderr
        if outcome.code == 1:
            survived += 1
            assert outcome.stderr.startswith("survived: "), outcome.stderr
            assert re.search(r"\(needs [\d.]+ kB, [\d,.]+ [kMG]B free\)", outcome.stderr)
        flushed = [event for event in outcome.events if event.startswith("fsync /") and "." in event.split("/")[-1]]
        assert len(flushed) == len(set(flushed))
        assert not [name for name in names_in(run_dir) if name.endswith(".tmp")]
        check_what_is_visible(run_dir, SCENARIOS[scenario][0], step)
        save_step(run_dir, step)
        assert snapshot(run_dir) == expected
        shutil.rmtree(run_dir)
    assert survived >= 8
    print(f"{action} at a file event of a save, {scenario}: {count} covered / {count} existing, {survived} said")


def test_a_failed_save_says_how_much_it_needed_and_how_much_is_free(run_dir):
    filled(run_dir, 1)

    def too_much(folder: Path) -> None:
        write(2)(folder)
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(SaveFailed) as failed:
        save(run_dir, 2, too_much)
    size = sum(os.path.getsize(run_dir / "step-000001" / name) for name in NAMES)
    assert failed.value.needed_bytes == size
    assert failed.value.free_bytes > 0
    assert str(failed.value).startswith(f"{run_dir / 'step-000002'}: not saved, no space left on device (needs ")
    assert names_in(run_dir) == {"step-000001", "latest", "best"}


def test_a_removed_run_folder_is_a_failed_save_and_not_a_crash(tmp_path):
    with pytest.raises(SaveFailed, match="no such file"):
        save(tmp_path / "gone", 1, write(1))


@pytest.mark.skipif(os.name == "nt", reason="file size limits are POSIX's")
def test_a_file_size_limit_met_inside_safetensors_is_a_failed_save(run_dir):
    """Fault plan 19, for real: the Rust writer reports it by an exception of its own."""
    script = (
        "import resource, sys, pathlib, numpy\n"
        "from safetensors.numpy import save_file\n"
        "from vgpt2 import checkpoint\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
        "write = lambda folder: save_file({'w': numpy.zeros(1 << 19)}, folder / 'w.safetensors')\n"
        "try: checkpoint.save(pathlib.Path(sys.argv[1]), 1, write)\n"
        "except checkpoint.SaveFailed as failure: print(failure)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, run_dir], capture_output=True, text=True, check=True)
    assert "File too large" in done.stdout
    assert names_in(run_dir) == set()


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, ValueError])
def test_any_other_error_while_writing_passes_through_and_leaves_nothing(run_dir, error):
    filled(run_dir, 1)
    before = snapshot(run_dir)

    def fails(folder: Path) -> None:
        write(2)(folder)
        raise error

    with pytest.raises(error):
        save(run_dir, 1, fails)
    assert snapshot(run_dir) == before
    assert not [name for name in names_in(run_dir) if name.startswith(".")]


# Going back


def test_all_checkpoints_damaged_is_refused_with_every_reason(run_dir):
    """INVARIANTS 53; fault plan 29."""
    filled(run_dir, 1, 2, 3)
    for folder in steps(run_dir):
        (folder / "state.json").write_text("{}", encoding="utf-8")
    with pytest.raises(CheckpointError) as refused:
        newest_good(run_dir)
    first, *rest = str(refused.value).splitlines()
    assert "none of its 3 checkpoints is whole" in first
    assert len(first) - len(str(run_dir)) <= 200 - 40
    assert [line.strip().split(":")[0] for line in rest] == [str(run_dir / f"step-00000{n}") for n in (3, 2, 1)]
    assert all("state.json does not match its manifest" in line for line in rest)


def test_no_checkpoint_at_all_is_none_and_no_error(run_dir):
    assert newest_good(run_dir) == (None, [])
    assert newest_good(run_dir / "never made") == (None, [])


# Links


@pytest.fixture
def sentinel(tmp_path: Path) -> Path:
    """A checkpoint outside every run folder, which nothing may touch."""
    folder = tmp_path / "outside"
    folder.mkdir()
    save_step(folder, 3)
    return folder


def link(path: Path, target: Path) -> None:
    try:
        path.symlink_to(target, target_is_directory=target.is_dir())
    except OSError:
        pytest.skip("symbolic links need a privilege here")


def test_a_run_folder_that_is_a_link_is_refused_by_every_door_and_its_target_stays(tmp_path, sentinel):
    """Fault plan 44; threat 12."""
    run_dir = tmp_path / "run"
    link(run_dir, sentinel)
    before = snapshot(sentinel)
    doors = [
        lambda: save(run_dir, 4, write(4)),
        lambda: point(run_dir, "best", run_dir / "step-000003"),
        lambda: rotate(run_dir, 1),
        lambda: sweep(run_dir),
        lambda: newest_good(run_dir),
        lambda: resolve(run_dir / "latest"),
    ]
    for door in doors:
        with pytest.raises(CheckpointError, match="is a link"):
            door()
    assert snapshot(sentinel) == before


def test_a_linked_step_is_never_used_counted_replaced_or_deleted(run_dir, sentinel):
    """Fault plan 44; threat 12."""
    filled(run_dir, 1, 2)
    link(run_dir / "step-000003", sentinel / "step-000003")
    before = snapshot(sentinel)
    folder, refused = newest_good(run_dir)
    assert folder == run_dir / "step-000002"
    assert "step-000003: is not a folder of its own; links and files are not followed" in refused[0]
    with pytest.raises(CheckpointError, match="is a link"):
        save(run_dir, 3, write(3))
    save_step(run_dir, 4)
    save_step(run_dir, 5)
    assert names_in(run_dir) == {"step-000001", "step-000003", "step-000004", "step-000005", "best", "latest"}
    assert snapshot(sentinel) == before


@pytest.mark.parametrize("name", ["best", "latest"])
def test_a_linked_pointer_is_neither_followed_nor_replaced(run_dir, sentinel, name):
    filled(run_dir, 1, 2)
    (run_dir / name).unlink()
    link(run_dir / name, sentinel / "latest")
    before = snapshot(sentinel)
    with pytest.raises(CheckpointError, match="is a link"):
        point(run_dir, name, run_dir / "step-000002")
    with pytest.raises(CheckpointError):
        resolve(run_dir / name)
    with pytest.raises(CheckpointError):
        rotate(run_dir, 1)
    assert snapshot(sentinel) == before


def test_deleting_a_folder_removes_the_links_in_it_and_not_their_targets(run_dir, sentinel):
    """Threat 12."""
    filled(run_dir, 2)
    before = snapshot(sentinel)
    link(run_dir / "step-000002" / "inside", sentinel)
    link(run_dir / ".step-000009.01234567.tmp", sentinel)
    assert sweep(run_dir) == [".step-000009.01234567.tmp"]
    atomic.discard(run_dir / "step-000002")
    assert snapshot(sentinel) == before
    assert names_in(run_dir) == {"latest"}


# Pointers, rotation, sweeping


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), keep=st.integers(1, 3))
def test_rotation_never_deletes_the_best_the_latest_or_the_protected(run_dir, data, keep):
    """INVARIANTS 33, over orders of saving, of dates and of who is best."""
    run_dir = Path(tempfile.mkdtemp(dir=run_dir))
    numbers = data.draw(st.lists(st.integers(1, 30), min_size=1, max_size=8, unique=True))
    protected = data.draw(st.sampled_from([*numbers, 77]))
    best = None
    made: set[int] = set()
    for number in numbers:
        folder = save(run_dir, number, lambda folder: (folder / "x").write_bytes(b"x") and None)
        os.utime(folder, (data.draw(st.integers(0, 2**31)),) * 2)
        made.add(number)
        point(run_dir, "latest", folder)
        if data.draw(st.booleans()):
            best = number
            point(run_dir, "best", folder)
        rotate(run_dir, keep, protect=[run_dir / f"step-{protected:06d}"])
        left = {checkpoint.step_of(path) for path in steps(run_dir)}
        counted = sorted(n for n in made if n <= number)
        wanted = set(counted[-keep:]) | {number} | ({best} if best else set()) | ({protected} & made) | {n for n in made if n > number}
        assert left == wanted
        made = left


def test_rotation_says_what_it_deleted_oldest_first(run_dir):
    for number in (1, 2, 3, 4, 5):
        save(run_dir, number, write(number))
    point(run_dir, "latest", run_dir / "step-000005")
    assert [path.name for path in rotate(run_dir, 2)] == ["step-000001", "step-000002", "step-000003"]


def test_steps_that_a_resumed_run_went_back_over_are_replaced_when_it_comes_there(run_dir):
    filled(run_dir, 1, 2, 3)
    (run_dir / "step-000003" / "state.json").write_text("{}", encoding="utf-8")
    resumed, _ = newest_good(run_dir)
    assert resumed == run_dir / "step-000002"
    save_step(run_dir, 3)
    assert newest_good(run_dir) == (run_dir / "step-000003", [])


def test_a_pointer_holds_one_name_and_moves_in_one_step(run_dir):
    filled(run_dir, 1, 2)
    assert (run_dir / "latest").read_bytes() == b"step-000002\n"
    assert (run_dir / "best").read_bytes() == b"step-000001\n"


@pytest.mark.parametrize("text", ["", "../outside/step-000003", "/etc", "step-1", "step-000001\nstep-000002", "x" * 100, "schrött"])
def test_a_pointer_that_names_anything_but_a_step_is_refused_and_rotation_deletes_nothing(run_dir, text):
    filled(run_dir, 1, 2)
    (run_dir / "best").write_text(text, encoding="utf-8")
    for door in (lambda: resolve(run_dir / "best"), lambda: rotate(run_dir, 1)):
        with pytest.raises(CheckpointError, match=r"best: .*delete it"):
            door()
    assert len(steps(run_dir)) == 2


def test_sweeping_removes_only_what_we_left_and_puts_back_what_was_set_aside(run_dir):
    filled(run_dir, 1, 2)
    kept = ["notes.tmp", ".hidden", "mine.trash", ".step-000001.tmp", "run.json"]
    for name in kept:
        (run_dir / name).write_text("x", encoding="utf-8")
    (run_dir / ".step-000009.0123abcd.tmp").mkdir()
    (run_dir / ".step-000009.0123abcd.tmp" / "part").write_bytes(b"x")
    (run_dir / ".step-000001.0123abcd.trash").mkdir()
    (run_dir / ".run.json.0123abcd.tmp").write_bytes(b"x")
    (run_dir / "step-000002").rename(run_dir / ".step-000002.0123abcd.old")
    shutil.copytree(run_dir / "step-000001", run_dir / ".step-000001.0123abcd.old")
    removed = [".run.json.0123abcd.tmp", ".step-000001.0123abcd.old", ".step-000001.0123abcd.trash", ".step-000009.0123abcd.tmp"]
    assert sweep(run_dir) == removed
    assert names_in(run_dir) == {"step-000001", "step-000002", "best", "latest", *kept}
    verify(run_dir / "step-000002")
    assert sweep(run_dir) == []


# Finding what a path means


def test_a_path_may_name_a_step_a_pointer_a_run_an_adapter_or_a_model(run_dir, tmp_path):
    filled(run_dir, 1, 2)
    one, two = run_dir / "step-000001", run_dir / "step-000002"
    assert resolve(two) == two
    assert resolve(str(run_dir / "latest")) == two
    assert resolve(run_dir / "best") == one
    assert resolve(run_dir) == one
    (run_dir / "best").unlink()
    assert resolve(run_dir) == two
    (run_dir / "latest").unlink()
    assert resolve(run_dir) == resolve(run_dir / "latest") == two
    for name in ("adapter_config.json", "config.json"):
        folder = tmp_path / name.split(".")[0]
        folder.mkdir()
        (folder / name).write_text("{}", encoding="utf-8")
        assert resolve(folder) == folder
    shutil.copytree(two, tmp_path / "copied away")
    assert resolve(tmp_path / "copied away") == tmp_path / "copied away"


def test_what_a_path_means_is_verified(run_dir):
    filled(run_dir, 1, 2)
    (run_dir / "step-000001" / "state.json").write_text("{}", encoding="utf-8")
    for path in (run_dir / "step-000001", run_dir / "best", run_dir):
        with pytest.raises(CheckpointError, match=r"state\.json does not match"):
            resolve(path)


def test_a_path_that_is_not_there_is_answered_with_what_is(run_dir, tmp_path):
    filled(run_dir, 1, 2)
    with pytest.raises(CheckpointError) as refused:
        resolve(tmp_path / "sft-aprl")
    assert str(refused.value) == f"{tmp_path / 'sft-aprl'}: does not exist; there is {run_dir}"
    with pytest.raises(CheckpointError, match=r"there is .*step-000002"):
        resolve(run_dir / "step-000003")
    (run_dir / "best").unlink()
    with pytest.raises(CheckpointError, match=r"best: does not exist; there is .*latest"):
        resolve(run_dir / "best")
    with pytest.raises(CheckpointError, match="check its spelling"):
        resolve(tmp_path / "no" / "such" / "folder")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        resolve(tmp_path / "empty")


# Before the start


def test_a_disk_too_small_for_the_run_is_refused_with_both_numbers(tmp_path, monkeypatch):
    """Fault plan 22."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 7 * 10**8, 3 * 10**8))
    checkpoint.require_space(tmp_path / "not" / "yet", copies=3, bytes_each=10**8)
    with pytest.raises(CheckpointError, match=r"needs 3 x 412\.0 MB, 300\.0 MB free"):
        checkpoint.require_space(tmp_path / "not" / "yet", copies=3, bytes_each=412 * 10**6)


def test_the_module_needs_no_torch():
    script = "import sys, vgpt2.checkpoint, vgpt2.runlock, vgpt2.interrupts; print('torch' in sys.modules, 'numpy' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", script], text=True).split() == ["False", "False"]
