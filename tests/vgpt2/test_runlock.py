import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from faults import injection

from vgpt2 import runlock
from vgpt2.runlock import RunLock, RunLockError, process_start_time

LOCKING = str(Path(injection.HERE, "locking.py"))


class Locker:
    """A process that takes the lock when told to."""

    def __init__(self, run_dir: Path, *options: str):
        argv = [sys.executable, LOCKING, str(run_dir), *options]
        environment = {**os.environ, "PYTHONPATH": str(injection.REPOSITORY)}
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    def wait_ready(self) -> None:
        assert self.process.stdout.readline() == "ready\n"

    def go(self, at: float = 0.0) -> None:
        self.process.stdin.write(f"{at}\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        return self.process.stdout.readline().strip()

    def end(self) -> int:
        self.process.stdin.close()
        code = self.process.wait(timeout=60)
        self.process.stdout.close()
        return code


@contextmanager
def lockers(count: int, run_dir: Path, *options: str) -> Iterator[list[Locker]]:
    started = [Locker(run_dir, *options) for _ in range(count)]
    try:
        yield started
    finally:
        for locker in started:
            locker.process.kill()
            locker.end()


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def write_lock(run_dir: Path, **changes) -> Path:
    """A lock as this process would hold it, but for `changes`."""
    owner = {
        "pid": os.getpid(),
        "start_time": process_start_time(os.getpid()),
        "host": socket.gethostname(),
        "run_id": "0123456789abcdef",
        "since": (datetime.now(UTC) - timedelta(hours=3, minutes=12, seconds=5)).isoformat(timespec="seconds"),
    }
    path = run_dir / "run.lock"
    path.write_text(json.dumps(owner | changes), encoding="utf-8")
    return path


def test_a_lock_is_there_inside_and_gone_after_with_all_that_was_made_for_it(tmp_path):
    run_dir = tmp_path / "runs" / "new"
    with RunLock(run_dir) as lock:
        owner = json.loads((run_dir / "run.lock").read_text("utf-8"))
        assert set(owner) == {"pid", "start_time", "host", "run_id", "since"}
        assert owner["pid"] == os.getpid()
        assert lock.is_held()
        assert [path.name for path in run_dir.iterdir()] == ["run.lock"]
    assert not lock.is_held()
    assert not run_dir.exists()


def test_a_folder_that_was_there_or_was_filled_stays(tmp_path):
    with RunLock(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []
    with RunLock(tmp_path / "run"):
        (tmp_path / "run" / "run.json").write_text("{}", encoding="utf-8")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["run.json"]


def test_the_second_is_refused_in_one_line_with_pid_age_host_and_cure(tmp_path):
    path = write_lock(tmp_path)
    before = path.read_bytes()
    with pytest.raises(RunLockError) as refused:
        RunLock(tmp_path).__enter__()
    where = f"process {os.getpid()} on {socket.gethostname()}"
    assert str(refused.value) == f"{path}: held by {where} for 3 h 12 min; wait for it, end it, or choose another --run name"
    assert path.read_bytes() == before


def test_a_process_known_to_live_is_not_stolen_from(tmp_path):
    """Threat 19."""
    write_lock(tmp_path)
    with pytest.raises(RunLockError, match="held by"):
        RunLock(tmp_path, steal=True).__enter__()


@pytest.mark.parametrize("free", ["nothing", "dead owner"])
def test_of_two_processes_started_together_exactly_one_gets_the_lock_fifty_times(tmp_path, free):
    """Fault plan 38: 50 of 50, for a free folder and for one whose owner died, which both find out at the same moment."""
    pid = dead_pid()
    rounds = 25
    for number in range(rounds):
        run_dir = tmp_path / str(number)
        if free == "dead owner":
            run_dir.mkdir()
            write_lock(run_dir, pid=pid)
        with lockers(2, run_dir) as pair:
            for locker in pair:
                locker.wait_ready()
            together = time.time() + 0.01
            for locker in pair:
                locker.go(at=together)
            answers = sorted(locker.answer() for locker in pair)
            assert [answer.split()[0] for answer in answers] == ["refused", "won"]
            winner = json.loads((run_dir / "run.lock").read_text("utf-8"))["pid"]
            assert f"process {winner} on" in answers[0]
            assert ("is dead" in answers[1]) == (free == "dead owner")
            assert sorted(locker.end() for locker in pair) == [0, 2]
        assert not (run_dir / "run.lock").exists()
    print(f"pairs of which exactly one won, {free}: {rounds} / {rounds}")


def test_a_crowd_that_comes_and_goes_never_shares_the_lock(tmp_path):
    """Four processes over one folder whose lock comes and goes all the time, until each has had it 50 times."""
    script = (
        "import sys, pathlib, random, time\n"
        "from vgpt2.runlock import RunLock, RunLockError\n"
        "folder, inside, won = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), 0\n"
        "inside.with_name(f'here-{sys.argv[3]}').touch()\n"
        "while len(list(inside.parent.glob('here-*'))) < 4: time.sleep(0.01)\n"
        "while won < 50:\n"
        "    try:\n"
        "        with RunLock(folder):\n"
        "            inside.mkdir()\n"
        "            won += 1\n"
        "            inside.rmdir()\n"
        "    except RunLockError: time.sleep(random.random() / 200)\n"
        "print(won)\n"
    )
    argv = [sys.executable, "-c", script, str(tmp_path / "run"), str(tmp_path / "inside")]
    crowd = [subprocess.Popen([*argv, str(n)], stdout=subprocess.PIPE, text=True, cwd=injection.REPOSITORY) for n in range(4)]
    assert [process.communicate(timeout=120)[0] for process in crowd] == ["50\n"] * 4
    assert [process.returncode for process in crowd] == [0] * 4


def test_the_lock_of_a_killed_owner_is_taken_over_and_said(tmp_path):
    """Fault plan 39."""
    with lockers(1, tmp_path) as (killed,):
        killed.wait_ready()
        killed.go()
        assert killed.answer() == "won"
        with pytest.raises(RunLockError, match=f"process {killed.process.pid}"):
            RunLock(tmp_path).__enter__()
        killed.process.kill()
        killed.process.wait()
        said: list[str] = []
        with RunLock(tmp_path, say=said.append) as lock:
            assert lock.is_held()
        assert said == [f"{tmp_path / 'run.lock'}: taken over, process {killed.process.pid} on {socket.gethostname()} is dead"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no zombies")
def test_a_killed_owner_whose_parent_never_waits_for_it_is_dead_too(tmp_path):
    zombie = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    write_lock(tmp_path, pid=zombie.pid, start_time=process_start_time(zombie.pid))
    with pytest.raises(RunLockError):
        RunLock(tmp_path).__enter__()
    zombie.kill()
    deadline = time.monotonic() + 60
    while psutil.Process(zombie.pid).status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.01)
    with RunLock(tmp_path):
        pass
    zombie.wait()


def test_a_process_id_used_again_by_another_program_is_told_by_its_start_time(tmp_path):
    """Fault plan 39; threat 19."""
    write_lock(tmp_path, start_time="12345@00000000")
    said: list[str] = []
    with RunLock(tmp_path, say=said.append):
        pass
    assert said == [f"{tmp_path / 'run.lock'}: taken over, process {os.getpid()} on {socket.gethostname()} is another program by now"]


@pytest.mark.parametrize("pid", ["dead", "alive"])
def test_another_machines_lock_is_only_taken_over_when_told_to(tmp_path, pid):
    """Fault plan 39."""
    number = dead_pid() if pid == "dead" else os.getpid()
    write_lock(tmp_path, host="cluster-7", pid=number)
    with pytest.raises(RunLockError, match=f"held by process {number} on cluster-7 for 3 h 12 min, .* add --steal-lock$"):
        RunLock(tmp_path).__enter__()
    said: list[str] = []
    with RunLock(tmp_path, steal=True, say=said.append):
        pass
    assert said == [f"{tmp_path / 'run.lock'}: taken over, stolen from process {number} on cluster-7"]


def test_an_owner_that_the_system_says_nothing_about_is_only_taken_over_when_told_to(tmp_path):
    write_lock(tmp_path, start_time=runlock.UNKNOWN)
    with pytest.raises(RunLockError, match="if that is still the same program; if not, add --steal-lock"):
        RunLock(tmp_path).__enter__()
    with RunLock(tmp_path, steal=True):
        pass


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"pid": 1}', "\x00\xff", "[" * 4000, "x" * 5000])
def test_a_lock_that_cannot_be_read_is_refused_with_the_cure(tmp_path, text):
    path = tmp_path / "run.lock"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RunLockError, match="is not readable as a lock; if no run uses the folder, add --steal-lock"):
        RunLock(tmp_path).__enter__()
    assert path.read_text("utf-8") == text
    with RunLock(tmp_path, steal=True):
        pass
    assert not path.exists()


@pytest.mark.parametrize("pid", [0, -1, True, "7", None])
def test_a_lock_that_names_no_process_is_never_asked_about(tmp_path, pid):
    """A signal to process 0 or -1 would go to everybody."""
    write_lock(tmp_path, pid=pid)
    with pytest.raises(RunLockError, match="names no process"):
        RunLock(tmp_path).__enter__()


@pytest.mark.parametrize("days", [-1, 1, 366])
def test_a_clock_that_jumped_changes_nothing_but_the_age(tmp_path, days):
    """Fault plan 42."""
    write_lock(tmp_path, since=(datetime.now(UTC) + timedelta(days=days)).isoformat())
    expected = "24 h" if days == -1 else "for 0 min"
    with pytest.raises(RunLockError, match=expected):
        RunLock(tmp_path).__enter__()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
@pytest.mark.timeout(10)
def test_a_link_or_fifo_for_a_lock_or_a_linked_folder_is_refused_and_the_target_stays(tmp_path):
    """Fault plan 44, 45."""
    target = write_lock(tmp_path, pid=dead_pid())
    before = target.read_bytes()
    for name in ("linked", "fifo"):
        (tmp_path / name).mkdir()
    (tmp_path / "linked" / "run.lock").symlink_to(target)
    os.mkfifo(tmp_path / "fifo" / "run.lock")
    (tmp_path / "folder").symlink_to(tmp_path)
    for name in ("linked", "fifo", "folder"):
        with pytest.raises(RunLockError):
            RunLock(tmp_path / name).__enter__()
    assert target.read_bytes() == before


def test_a_lock_stolen_meanwhile_is_noticed_and_not_removed(tmp_path):
    with RunLock(tmp_path) as lock:
        path = write_lock(tmp_path, host="cluster-7")
        assert not lock.is_held()
    assert json.loads(path.read_text("utf-8"))["host"] == "cluster-7"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process")
def test_a_forked_child_does_not_remove_its_parents_lock(tmp_path):
    with RunLock(tmp_path) as lock:
        child = os.fork()
        if child == 0:
            lock.__exit__(None, None, None)
            os._exit(0)
        os.waitpid(child, 0)
        assert lock.is_held()


def test_the_lock_is_freed_when_the_run_fails(tmp_path):
    with pytest.raises(KeyboardInterrupt), RunLock(tmp_path):
        raise KeyboardInterrupt
    assert not (tmp_path / "run.lock").exists()


def test_a_start_time_tells_processes_apart_and_does_not_change():
    mine = process_start_time(os.getpid())
    assert mine == process_start_time(os.getpid())
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    try:
        assert process_start_time(child.pid) not in (None, mine)
    finally:
        child.communicate()
    assert process_start_time(child.pid) is None
    assert process_start_time(dead_pid()) is None


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_a_start_time_agrees_with_psutils():
    """The ticks since boot, as another library computes seconds since 1970 from them."""
    ticks = int(process_start_time(os.getpid()).split("@")[0])
    assert psutil.boot_time() + ticks / os.sysconf("SC_CLK_TCK") == pytest.approx(psutil.Process().create_time(), abs=2)


@pytest.mark.skipif(sys.platform == "win32", reason="ps")
def test_a_start_time_by_ps_as_on_macos(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    try:
        mine = process_start_time(os.getpid())
    except FileNotFoundError:
        pytest.skip("no ps here")
    began = datetime.strptime(mine, "%a %b %d %H:%M:%S %Y").replace(tzinfo=UTC)
    assert began.timestamp() == pytest.approx(psutil.Process().create_time(), abs=2)
    assert process_start_time(dead_pid()) is None
