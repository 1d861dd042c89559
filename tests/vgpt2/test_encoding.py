import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import tiny_encoders
import tiny_tokenizer

from vgpt2 import encoding, workers
from vgpt2.encoding import WorkerLost, encode_all
from vgpt2.layouts import Record
from vgpt2.tokenizer import ChatTokenizer

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return ChatTokenizer.load(tiny_tokenizer.chatml(tmp_path_factory.mktemp("tokenizer")), system=None)


def rows(count):
    prompt = [{"role": "user", "content": "q"}]
    return [Record("sft", prompt, str(n), f"data/train.jsonl:{n + 1}", completion="yes " * (n % 9)) for n in range(count)]


@pytest.fixture(autouse=True)
def no_worker_is_left():
    yield
    assert not workers_of(psutil.Process())


def workers_of(process):
    return [child for child in process.children() if "spawn_main" in " ".join(child.cmdline())]


@pytest.mark.parametrize("workers", [0, 2])
def test_examples_come_in_the_order_of_their_rows_with_the_others_counted(tokenizer, workers):
    """INVARIANTS 22, and the same answer with and without workers."""
    records = rows(300)
    expected = [tiny_encoders.length(record, tokenizer) for record in records]
    examples, dropped = encode_all(records, tiny_encoders.length, tokenizer=tokenizer, workers=workers)
    assert examples == [example for example in expected if example != "too short"]
    assert dropped.counts == {"too short": expected.count("too short")}
    assert dropped.places["too short"][0] == "data/train.jsonl:1"


def test_few_rows_are_encoded_here(monkeypatch):
    monkeypatch.setattr(workers, "_Worker", lambda *_: pytest.fail("a worker for ten rows"))
    assert len(encode_all(rows(5), tiny_encoders.refuses_sevens, tokenizer=None)[0]) == 5


@pytest.mark.parametrize("workers", [0, 2])
def test_a_row_that_cannot_be_encoded_is_named_by_file_and_line(workers):
    """Fault 41: the first three, and the number of the others."""
    with pytest.raises(ValueError, match="sevens") as caught:
        encode_all(rows(150), tiny_encoders.refuses_sevens, tokenizer=None, workers=workers)
    lines = str(caught.value).splitlines()
    assert lines[0] == "data/train.jsonl:8: sevens are not encoded; take another number"
    assert lines[3] == "and 12 more: data/train.jsonl"
    assert len(lines) == 4


def test_a_killed_worker_is_named_with_its_rows():
    """Fault 41: no hang, no half result."""
    with pytest.raises(WorkerLost, match=r"train\.jsonl:1 to data/train\.jsonl:64: the tokenising worker died \(exit code 9\)"):
        encode_all(rows(200), tiny_encoders.dies_at_five, tokenizer=None, workers=2)


def test_a_bug_in_a_stage_shows_itself(capfd):
    with pytest.raises(WorkerLost, match="died"):
        encode_all(rows(70), tiny_encoders.breaks, tokenizer=None, workers=1)
    assert "no_such_field" in capfd.readouterr().err
    with pytest.raises(AttributeError):
        encode_all(rows(70), tiny_encoders.breaks, tokenizer=None, workers=0)


@pytest.mark.parametrize("encode", [tiny_encoders.hangs_at_five, tiny_encoders.runs_for_ever_at_five])
def test_a_hanging_worker_is_given_up(encode, monkeypatch):
    """Fault 41: at most STALL_S, here 2 seconds, of waiting or of its own CPU time."""
    monkeypatch.setattr(encoding, "STALL_S", 2.0)
    with pytest.raises(WorkerLost, match=r"train\.jsonl:1 to data/train\.jsonl:64: the tokenising worker hangs"):
        encode_all(rows(200), encode, tokenizer=None, workers=2)


def test_a_worker_that_gets_little_of_the_machine_is_no_hanging_one(monkeypatch):
    """Five seconds for a chunk, 0.3 of them of CPU time, where three may pass without any."""
    monkeypatch.setattr(encoding, "STALL_S", 3.0)
    examples, _ = encode_all(rows(200), tiny_encoders.starves_at_five, tokenizer=None, workers=2)
    assert len(examples) == 200


def test_an_interrupt_in_the_middle_ends_the_workers():
    @contextmanager
    def progress(what, total):
        assert (what, total) == ("tokenise", 300)
        yield Stop()

    class Stop:
        def update(self, n):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_all(rows(300), tiny_encoders.slow, tokenizer=None, workers=2, progress=progress)


SCRIPT = """
import sys
with open(sys.argv[1], "a") as log:
    log.write("run ")
import tiny_encoders
from vgpt2.encoding import encode_all
from vgpt2.layouts import Record
rows = [Record("sft", [{"role": "user", "content": "q"}], str(n), f"f:{n}", completion="a") for n in range(300)]
print("ready", flush=True)
examples, _ = encode_all(rows, getattr(tiny_encoders, sys.argv[2]), tokenizer=None, workers=2)
print(len(examples))
"""


def script(tmp_path, encoder):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT, "utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)])}
    command = [sys.executable, str(path), str(tmp_path / "log"), encoder]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def test_a_script_without_a_guard_is_not_run_again_by_its_workers(tmp_path):
    """INVARIANTS 47."""
    with script(tmp_path, "name") as process:
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert (tmp_path / "log").read_text("utf-8") == "run "
    assert out.split() == ["ready", "300"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_workers_end_when_their_parent_is_killed(tmp_path):
    """Fault 9: at most five seconds after it."""
    with script(tmp_path, "slow") as process:
        assert process.stdout.readline() == "ready\n"
        parent = psutil.Process(process.pid)
        while len(children := workers_of(parent)) < 2:
            time.sleep(0.1)
        time.sleep(3)
        process.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive
