import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def pipeline_file(folder: Path, *, steps: list[dict], show: str = "table.txt") -> Path:
    import yaml

    (folder / "table.txt").write_text("the table\n")
    path = folder / "pipeline.yaml"
    path.write_text(yaml.safe_dump({"folder": str(folder / "state"), "steps": steps, "show": str(folder / show), "places": {"here": "x"}}))
    return path


def step(folder: Path, name: str, *args: str, **keys) -> dict:
    """A step that runs the command of the fixture `stamp`."""
    return {
        "name": name,
        "command": ["vgpt2.stamp", str(folder / f"{name}.out"), *args],
        "outputs": [str(folder / f"{name}.out")],
        "minutes": 0.1,
        **keys,
    }


@pytest.fixture
def stamp(tmp_path, monkeypatch):
    """A tiny command that appends a line to its file: `python -m vgpt2.stamp FILE [sleep] [exit code]`.

    It is put into the package's search path for the children only, so that the pipeline's rule 'own commands only' holds in the test too.
    """
    extra = tmp_path / "extra"
    extra.mkdir()
    (extra / "stamp.py").write_text(
        "import sys, time, signal\n"
        "path, seconds, code = sys.argv[1], float((sys.argv + ['0', '0'])[2]), int((sys.argv + ['0', '0', '0'])[3])\n"
        "signal.signal(signal.SIGINT, lambda *_: sys.exit(130))\n"
        "open(path + '.begun', 'a').write(' '.join(sys.argv[4:]) + '\\n')\n"
        "time.sleep(seconds)\n"
        "code or open(path, 'a').write('x')\n"
        "sys.exit(code)\n"
    )
    (extra / "sitecustomize.py").write_text(f"import vgpt2\nvgpt2.__path__.append({str(extra)!r})\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(extra), str(ROOT)]))
    return tmp_path


def call(path: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vgpt2.pipeline", "--config", str(path), *args], capture_output=True, text=True, timeout=120
    )


def test_finished_steps_are_skipped_and_the_table_is_shown_again(stamp):
    path = pipeline_file(stamp, steps=[step(stamp, "a"), step(stamp, "b")])
    first = call(path)
    assert first.returncode == 0, first.stderr
    assert "2 of 2 steps to do" in first.stdout
    again = call(path)
    assert again.returncode == 0
    assert "all 2 steps were finished before" in again.stdout
    assert "the table" in again.stdout
    assert (stamp / "a.out").read_text() == (stamp / "b.out").read_text() == "x"


def test_a_failing_step_ends_the_chain_with_its_exit_code_and_is_tried_again(stamp):
    steps = [step(stamp, "a"), step(stamp, "b", "0", "3"), step(stamp, "c")]
    path = pipeline_file(stamp, steps=steps)
    assert call(path).returncode == 3
    assert not (stamp / "c.out").exists()
    steps[1] = step(stamp, "b")
    path = pipeline_file(stamp, steps=steps)
    done = call(path)
    assert done.returncode == 0, done.stderr
    assert (stamp / "a.out").read_text() == "x"


def test_a_step_with_changed_inputs_is_refused_until_redone(stamp):
    source = stamp / "source.txt"
    source.write_text("1")
    path = pipeline_file(stamp, steps=[step(stamp, "a", inputs=[str(source)]), step(stamp, "b")])
    assert call(path).returncode == 0
    source.write_text("2")
    refused = call(path)
    assert refused.returncode == 2
    assert "--redo a" in refused.stderr
    redone = call(path, "--redo", "a")
    assert redone.returncode == 0, redone.stderr
    assert (stamp / "a.out").read_text() == (stamp / "b.out").read_text() == "x"


def test_an_interrupt_reaches_the_step_and_the_next_call_resumes_it(stamp):
    begun = stamp / "a.out.begun"
    steps = [step(stamp, "a", "600", begun=str(begun), resume=["0", "--resume"])]
    path = pipeline_file(stamp, steps=steps)
    process = subprocess.Popen(
        [sys.executable, "-m", "vgpt2.pipeline", "--config", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while not begun.exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=120) == 130
    steps[0]["command"][2] = "0"
    state = json.loads((stamp / "state" / "pipeline.json").read_text())
    assert state["a"]["finished"] is False


def test_a_child_that_outlived_a_killed_pipeline_is_named(stamp):
    begun = stamp / "a.out.begun"
    path = pipeline_file(stamp, steps=[step(stamp, "a", "600")])
    process = subprocess.Popen(
        [sys.executable, "-m", "vgpt2.pipeline", "--config", str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not begun.exists() or "running" not in (stamp / "state" / "pipeline.json").read_text():
        time.sleep(0.05)
    process.kill()
    process.wait()
    refused = call(path)
    assert refused.returncode == 2
    pid = json.loads((stamp / "state" / "pipeline.json").read_text())["running"]["pid"]
    assert f"still runs as process {pid}" in refused.stderr
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"command": ["os.system", "rm"]}, "allowed are our own commands"),
        ({"command": []}, "at least 1 item"),
        ({"name": "A b"}, "should match pattern"),
        ({"outputs": []}, "at least 1 item"),
        ({"comand": ["x"]}, "unknown config key"),
    ],
)
def test_a_wrong_step_is_refused_by_name(stamp, change, said):
    path = pipeline_file(stamp, steps=[step(stamp, "a") | change])
    refused = call(path)
    assert refused.returncode == 2
    assert said in refused.stderr


def test_two_steps_of_one_name_and_an_unknown_redo_are_refused(stamp):
    path = pipeline_file(stamp, steps=[step(stamp, "a"), step(stamp, "a")])
    assert "two steps are named 'a'" in call(path).stderr
    path = pipeline_file(stamp, steps=[step(stamp, "a")])
    refused = call(path, "--redo", "z")
    assert refused.returncode == 2
    assert "no such step; there are a" in refused.stderr
