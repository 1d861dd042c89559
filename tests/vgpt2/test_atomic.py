import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from faults import injection
from faults.injection import needs_linux

from vgpt2 import atomic

WRITE = "import sys, pathlib; from vgpt2 import atomic; atomic.write_text(pathlib.Path(sys.argv[1]), 'new')"


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_written_file_holds_exactly_the_bytes_on_every_platform(tmp_path):
    atomic.write_text(tmp_path / "größe.json", "a\nb\r\nä")
    assert (tmp_path / "größe.json").read_bytes() == b"a\nb\r\n\xc3\xa4"
    assert names_in(tmp_path) == ["größe.json"]


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX's")
def test_a_replaced_file_has_the_mode_that_the_umask_allows(tmp_path):
    before = os.umask(0o027)
    try:
        atomic.write_bytes(tmp_path / "file", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


@needs_linux
@pytest.mark.parametrize("action", ["kill", "ENOSPC", "EIO"])
def test_stopped_or_failing_at_any_file_event_the_file_is_old_or_new_and_never_part_of_either(tmp_path, action):
    """INVARIANTS 49; fault plan 7."""
    path = tmp_path / "state" / "file"
    path.parent.mkdir()
    count = len(injection.run(["-c", WRITE, str(path)], path.parent).events)
    assert count == 4  # open, fsync, rename, fsync of the folder
    for at in range(1, count + 1):
        path.write_text("old", encoding="utf-8")
        outcome = injection.run(["-c", WRITE, str(path)], path.parent, at=at, action=action)
        assert outcome.code != 0
        assert path.read_text("utf-8") == ("old" if at < 4 else "new")
        leftovers = [name for name in names_in(path.parent) if name != "file"]
        assert all(atomic.LEFTOVER.fullmatch(name) for name in leftovers)
        assert action == "kill" or leftovers == []
        for name in leftovers:
            (path.parent / name).unlink()


def test_a_link_is_replaced_and_its_target_stays(tmp_path):
    target = tmp_path / "target"
    target.write_text("mine", encoding="utf-8")
    link = tmp_path / "link"
    try:
        link.symlink_to(target)
    except OSError:
        pytest.skip("symbolic links need a privilege here")
    assert atomic.is_link(link)
    assert not atomic.is_link(target)
    atomic.write_text(link, "new")
    assert target.read_text("utf-8") == "mine"
    assert not atomic.is_link(link)


def test_a_link_to_nothing_is_a_link_and_nothing_is_none(tmp_path):
    link = tmp_path / "link"
    try:
        link.symlink_to(tmp_path / "gone")
    except OSError:
        pytest.skip("symbolic links need a privilege here")
    assert atomic.is_link(link)
    assert not atomic.is_link(tmp_path / "gone")
    assert not atomic.is_link(tmp_path / "gone" / "deeper")


def test_a_folder_is_deleted_under_another_name_than_its_own(tmp_path, monkeypatch):
    """Fault plan 6: whatever stops the deletion, no half folder has the old name."""
    folder = tmp_path / "step-000001"
    folder.mkdir()
    (folder / "file").write_bytes(b"x")

    def stopped(path):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("shutil.rmtree", stopped)
    with pytest.raises(OSError):
        atomic.discard(folder)
    (left,) = names_in(tmp_path)
    assert atomic.LEFTOVER.fullmatch(left)["kind"] == "trash"
    assert atomic.LEFTOVER.fullmatch(left)["name"] == "step-000001"


def test_deleting_what_is_not_there_is_no_error(tmp_path):
    atomic.discard(tmp_path / "gone")


def test_renaming_is_tried_again_on_windows_only(tmp_path, monkeypatch):
    calls = []

    def busy(source, target):
        calls.append(source)
        if len(calls) < 3:
            raise PermissionError(errno.EACCES, "in use")

    monkeypatch.setattr(os, "replace", busy)
    with pytest.raises(PermissionError):
        atomic.rename(tmp_path / "a", tmp_path / "b")
    monkeypatch.setattr(atomic, "IS_WINDOWS", True)
    atomic.rename(tmp_path / "a", tmp_path / "b")
    assert len(calls) == 3


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
@pytest.mark.timeout(10)
def test_only_plain_files_are_opened_and_a_fifo_does_not_hang(tmp_path):
    """Fault plan 45."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    for path in (tmp_path / "fifo", tmp_path, tmp_path / "link", Path("/dev/null")):
        with pytest.raises(atomic.NotRegularError):
            atomic.open_regular(path)
    with atomic.open_regular(tmp_path / "file") as file:
        assert file.read() == b"x"


def test_a_file_longer_than_allowed_is_refused(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    assert atomic.read_small(tmp_path / "file", 5) == b"12345"
    with pytest.raises(ValueError, match="more than 4 bytes"):
        atomic.read_small(tmp_path / "file", 4)
    with pytest.raises(FileNotFoundError):
        atomic.read_small(tmp_path / "gone", 4)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_an_error_of_the_system_and_not_silence():
    script = "from vgpt2 import atomic; import pathlib; atomic.fsync_file(pathlib.Path('/dev/full'))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=False).returncode == 1
