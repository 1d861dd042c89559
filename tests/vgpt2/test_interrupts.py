import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from faults import injection
from faults.saving import save_step

from vgpt2.checkpoint import newest_good
from vgpt2.interrupts import SECOND_S, Interrupted, Interrupts, exit_code, lasting_output

pytestmark = pytest.mark.skipif(os.name == "nt", reason="sends POSIX signals")
STEPPING = str(Path(injection.HERE, "stepping.py"))
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(injection.REPOSITORY / "tests"), str(injection.REPOSITORY)])}


@contextlib.contextmanager
def child(*argv: str, **options) -> Iterator[subprocess.Popen]:
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": ENVIRONMENT} | options
    process = subprocess.Popen([sys.executable, *argv], **options)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(process: subprocess.Popen, line: str) -> None:
    while (said := process.stdout.readline().strip()) != line:
        assert said, process.stderr.read()


def answer_to(process: subprocess.Popen, number: int) -> str:
    """The line that the process says at once to a signal."""
    process.send_signal(number)
    return process.stderr.readline()


def end(process: subprocess.Popen) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


# The first signal


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_is_answered_at_once_and_obeyed_at_the_next_safe_point(number, code):
    """INVARIANTS 31, 50."""
    with child(STEPPING, "sleep") as process:
        wait_for(process, "ready")
        process.send_signal(number)
        got, out, err = end(process)
    assert got == code == exit_code(number)
    assert "stopped" in out  # long before the ten minutes of its steps
    assert err == f"{signal.Signals(number).name}: stopping at the next safe point; once more, and it stops at once\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_before_there_is_anything_to_save_the_first_signal_stops_wherever_the_run_is(number, code):
    """INVARIANTS 50; fault plan 11: load, tokenise, reference pass."""
    with child(STEPPING, "load") as process:
        wait_for(process, "ready")
        process.send_signal(number)
        got, out, _ = end(process)  # long before the ten minutes of loading
    assert got == code
    assert "stopped 0" in out


@pytest.mark.parametrize("work", ["sleep", "native", "greedy"])
def test_a_storm_of_200_signals_in_a_tenth_of_a_second_is_one_request(work):
    """Fault plan 12, also while one call keeps every thread of ours from running for longer than a second."""
    with child(STEPPING, work) as process:
        wait_for(process, "ready" if work == "sleep" else "busy")
        for _ in range(200):
            process.send_signal(signal.SIGINT)
            time.sleep(0.0005)
        got, out, err = end(process)
    assert got == 130
    assert "stopped" in out
    assert err.count("\n") == 1


# The second


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_ends_within_a_second_even_inside_one_call_of_many_minutes(number, code):
    """Fault plan 13; a second of its own CPU time, which is all of the time while it has a core."""
    with child(STEPPING, "endless") as process:
        wait_for(process, "busy")
        assert "once more, and it stops at once" in answer_to(process, signal.SIGINT)
        time.sleep(2 * SECOND_S)
        before_s = psutil.Process(process.pid).cpu_times().user
        ended_before_s = os.times().children_user
        process.send_signal(number)
        got, out, _ = end(process)
        assert os.times().children_user - ended_before_s - before_s < 1
    assert got == code
    assert "stopped" not in out
    assert "kept in a buffer" in out


@injection.needs_linux
def test_a_second_signal_inside_a_save_leaves_the_checkpoint_before_it(tmp_path):
    """INVARIANTS 31, 32; fault plan 13."""
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    save_step(run_dir, 1)
    log = tmp_path / "events"
    environment = injection.faulty_environment(run_dir, log, at=9, action="wait")
    with child(STEPPING, "save", str(run_dir), env=environment) as process:
        wait_for(process, "ready")
        deadline = time.monotonic() + 120
        while "waiting" not in (log.read_text("utf-8") if log.exists() else ""):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert "once more, and it stops at once" in answer_to(process, signal.SIGINT)
        time.sleep(2 * SECOND_S)
        process.send_signal(signal.SIGINT)
        got, out, _ = end(process)  # long before the ten minutes that the save waits there
    assert got == 130
    assert "stopped" not in out
    assert newest_good(run_dir) == (run_dir / "step-000001", [])


# Ignored signals


def test_a_thousand_stray_interrupts_are_counted_and_change_nothing():
    """Fault plan 15: the system merges those that come faster than they are seen."""
    with child(STEPPING, "sleep", "--ignore-interrupts") as process:
        wait_for(process, "ready")
        for _ in range(1000):
            process.send_signal(signal.SIGINT)
            time.sleep(0.0005)
        got, out, err = end(process)
    assert got == 0
    assert 1 < int(out.split("ignored ")[1].split()[0]) <= 1000
    assert err.count("\n") == 1
    assert "--ignore-interrupts" in err


def test_sigterm_is_obeyed_while_interrupts_are_ignored():
    with child(STEPPING, "sleep", "--ignore-interrupts") as process:
        wait_for(process, "ready")
        assert "--ignore-interrupts" in answer_to(process, signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        got, out, _ = end(process)
    assert got == 143
    assert "ignored 1" in out


# Terminals and readers that go away


def test_a_closed_terminal_ends_the_output_and_not_the_run(tmp_path):
    """Fault plan 16: SIGHUP."""
    import pty

    ours, theirs = pty.openpty()
    marker = tmp_path / "marker"
    options = {"stdin": theirs, "stdout": theirs, "stderr": theirs, "start_new_session": True, "text": False}
    script = (
        f"import fcntl, runpy, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); sys.argv = ['', 'print', '--marker', {str(marker)!r}];"
        f"runpy.run_path({STEPPING!r}, run_name='__main__')"
    )
    with child("-c", script, **options) as process:
        os.close(theirs)
        seen = b""
        while b"step 3" not in seen:
            seen += os.read(ours, 1000)
        os.close(ours)
        assert process.wait(timeout=120) == 0
    assert marker.read_text("utf-8") == "0"


def test_a_reader_that_goes_away_ends_the_output_and_not_the_run(tmp_path):
    """Fault plan 16: `| head`."""
    marker = tmp_path / "marker"
    with child(STEPPING, "print", "--marker", str(marker)) as process:
        wait_for(process, "step 3")
        process.stdout.close()
        assert process.wait(timeout=120) == 0
        assert process.stderr.read() == ""
        process.stdout = None
    assert marker.read_text("utf-8") == "0"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_under_the_output_does_not_end_the_run(tmp_path):
    """Fault plan 21."""
    with open("/dev/full", "w") as full:
        script = "from vgpt2.interrupts import lasting_output\nwith lasting_output():\n    for _ in range(9): print('x' * 9999, flush=True)"
        process = subprocess.run([sys.executable, "-c", script], stdout=full, stderr=subprocess.PIPE, env=ENVIRONMENT, check=False)
    assert (process.returncode, process.stderr) == (0, b"")


def test_lasting_output_writes_the_same_bytes():
    lines = "print('ä', 'b'); print('c', end=''); sys.stdout.write('d\\n'); print('e', file=sys.stderr)"
    plain = f"import sys, contextlib\nwith contextlib.nullcontext(): {lines}"
    lasting = f"import sys, vgpt2.interrupts\nwith vgpt2.interrupts.lasting_output(): {lines}"
    first, second = (
        subprocess.run([sys.executable, "-c", script], capture_output=True, env=ENVIRONMENT, check=True) for script in (plain, lasting)
    )
    assert (first.stdout, first.stderr) == (second.stdout, second.stderr)
    assert first.stdout.count(b"\n") == 2


# Order inside one process


def test_handlers_streams_and_wakeup_are_as_before_afterwards():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    streams = sys.stdout, sys.stderr
    wakeup = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wakeup)
    threads = threading.active_count()
    with contextlib.suppress(ZeroDivisionError), Interrupts() as interrupts:
        assert signal.getsignal(signal.SIGINT) == interrupts._handle
        raise ZeroDivisionError
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before
    assert (sys.stdout, sys.stderr) == streams
    assert signal.set_wakeup_fd(wakeup) == wakeup
    assert threading.active_count() == threads


def test_a_signal_is_only_remembered_until_a_safe_point_asks():
    with Interrupts() as interrupts:
        interrupts.check()
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupts.requested == signal.SIGTERM
        with pytest.raises(Interrupted) as interrupted:
            interrupts.check()
        assert interrupted.value.number == signal.SIGTERM
        with pytest.raises(Interrupted), interrupts.at_once():
            pytest.fail("a run that was asked to stop began another phase")


def test_a_library_that_swallows_the_interruption_only_delays_it():
    with Interrupts() as interrupts:
        with pytest.raises(Interrupted), interrupts.at_once(), contextlib.suppress(BaseException):
            os.kill(os.getpid(), signal.SIGINT)
        assert interrupts.requested == signal.SIGINT


def test_no_handler_of_errors_swallows_the_interruption():
    assert not issubclass(Interrupted, Exception)


def test_outside_the_main_thread_nothing_is_handled_and_that_is_said():
    said: list[str] = []

    def elsewhere() -> None:
        with Interrupts(say=said.append) as interrupts:
            interrupts.check()

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) == before
    assert said == ["signals are left to the main thread: Ctrl+C will not save"]


def test_words_that_cannot_be_said_do_not_end_the_watch():
    def fails(line: str) -> None:
        raise BrokenPipeError

    with Interrupts(say=fails) as interrupts:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)
        assert interrupts.requested == signal.SIGINT


def test_streams_without_a_file_below_them_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    with lasting_output():
        assert sys.stdout is None


# Workers


def test_workers_leave_ctrl_c_to_their_parent_and_end_with_it_when_it_is_killed():
    """Fault plan 9, 41."""
    with child(str(Path(injection.HERE, "pooling.py"))) as process:
        workers = [psutil.Process(int(process.stdout.readline().split()[1])) for _ in range(2)]
        for worker in workers:
            worker.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert all(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)
        process.kill()
        _, alive = psutil.wait_procs(workers, timeout=60)
        assert alive == []
