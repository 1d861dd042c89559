"""The log of a run: what is kept, what a resumed run forgets, and that no log stops a training."""

import io
import json
import sys
from pathlib import Path

import psutil
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vgpt2 import metrics
from vgpt2.metrics import RunLog, peak_memory_bytes


def log_of(folder: Path, **knobs: int) -> RunLog:
    folder.mkdir(exist_ok=True)
    return RunLog(folder, total_steps=100, **knobs)


def train(log: RunLog, steps: range) -> None:
    for step in steps:
        log.advance(step, tokens=10 * step)
        if step % 2 == 0:
            log.train(step, {"loss": 1 / step, "lr": 1e-4, "grad_norm": 0.5, "skipped": 0}, tokens=10 * step)
        if step % 4 == 0:
            log.eval(step, {"eval/loss": 2 / step}, took_s=0.5)


def rows_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]


def without_wall(folder: Path) -> list[dict]:
    return [{name: value for name, value in row.items() if name != "wall"} for row in rows_of(folder)]


def test_a_row_holds_what_was_logged_and_wall_times_apart(tmp_path: Path):
    log = log_of(tmp_path / "run")
    train(log, range(1, 5))
    first, second, third = rows_of(tmp_path / "run")
    values = {"loss": 0.5, "lr": 1e-4, "grad_norm": 0.5, "skipped": 0}
    assert first == {"kind": "train", "step": 2, **values, "tokens": 20, "wall": first["wall"]}
    assert second["step"] == 4
    assert {name: third[name] for name in ("kind", "step", "eval/loss")} == {"kind": "eval", "step": 4, "eval/loss": 0.5}
    assert set(first["wall"]) == {"seconds", "tokens_per_s", "peak_memory_bytes"}
    assert log.rows == 3


def test_a_resumed_run_s_rows_equal_the_undisturbed_one_s(tmp_path: Path):
    """INVARIANT 29, the metrics."""
    train(log_of(tmp_path / "whole"), range(1, 21))
    log = log_of(tmp_path / "resumed")
    train(log, range(1, 9))
    rows_at_8 = log.rows
    train(log, range(9, 15))  # lost: the checkpoint is that of step 8
    train(log_of(tmp_path / "resumed", rows=rows_at_8, step=8, tokens=80), range(9, 21))
    assert without_wall(tmp_path / "resumed") == without_wall(tmp_path / "whole")


def test_a_torn_last_row_is_forgotten_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    train(log_of(tmp_path / "run"), range(1, 9))
    path = tmp_path / "run" / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    log = log_of(tmp_path / "run", rows=6, step=8)
    assert log.rows == 5
    assert log.warnings == 1
    assert "5 of 6 rows are left" in capsys.readouterr().err
    assert len(rows_of(tmp_path / "run")) == 5


def test_speed_counts_training_time_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    clock = [0.0]
    monkeypatch.setattr(metrics.time, "monotonic", lambda: clock[0])
    log = log_of(tmp_path / "run", step=5, tokens=1000)
    for step in (6, 7):
        clock[0] += 2.0
        log.advance(step, tokens=1000 + 300 * (step - 5))
    clock[0] += 50.0
    log.eval(7, {"eval/loss": 1.0}, took_s=0.5)
    clock[0] += 1.0
    log.advance(8, tokens=1900)
    log.train(8, {"loss": 1.0}, tokens=1900)
    assert rows_of(tmp_path / "run")[-1]["wall"]["tokens_per_s"] == 180.0  # 900 tokens in 2 + 2 + 1 seconds


def test_what_is_not_finite_is_null_in_the_file(tmp_path: Path):
    log_of(tmp_path / "run").train(1, {"loss": float("nan"), "lr": float("inf")}, tokens=1)
    text = (tmp_path / "run" / "metrics.jsonl").read_text("utf-8")
    assert '"loss": null, "lr": null' in text


def test_a_console_line_has_fixed_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    log = log_of(tmp_path / "run")
    log.advance(20, tokens=100)
    values = {"lr": 4.6e-7, "loss": 0.51234, "rewards/accuracy": 0.78, "grad_norm": 1.324, "logps/chosen": -3.0, "rewards/margin": 0.91}
    log.train(20, values, tokens=100)
    log.eval(20, {"eval/loss": 0.4}, took_s=0.5)
    line, eval_line = capsys.readouterr().out.splitlines()
    assert line.startswith("step    20/100  loss 0.5123  reward/acc 0.78  margin 0.91  lr 4.6e-07  grad 1.32  ")
    assert " tok/s  " in line
    assert " GiB  eta 0:00" in line
    assert eval_line == "eval    20/100  loss 0.4000  took 0 s"


def test_piped_output_holds_no_bar_and_no_carriage_return(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    log = log_of(tmp_path / "run")
    train(log, range(1, 9))
    log.warn("something")
    log.close()
    out, err = capfd.readouterr()
    assert "\r" not in out + err
    assert len(out.splitlines()) == 6
    assert err == "warning: something\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar_and_whole_lines_above_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    out, err = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    log = log_of(tmp_path / "run")
    train(log, range(1, 5))
    log.close()
    assert "4/100" in err.getvalue()
    assert [line[:8] for line in out.getvalue().splitlines()] == ["step    ", "step    ", "eval    "]


def test_a_silent_minute_ends_with_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    clock = [0.0]
    monkeypatch.setattr(metrics.time, "monotonic", lambda: clock[0])
    log = log_of(tmp_path / "run")
    for step in range(1, 6):
        clock[0] += 25.0
        log.advance(step, tokens=10 * step)
    assert capsys.readouterr().out == "step     3/100  30 tokens  eta 40:25\n"  # 75 s for 3 steps, 97 to go


def test_a_closed_pipe_silences_the_console_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    class Pipe(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Pipe())
    train(log_of(tmp_path / "run"), range(1, 9))
    assert len(rows_of(tmp_path / "run")) == 6


def test_a_full_disk_costs_one_warning_and_the_file_is_whole_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    log = log_of(tmp_path / "run")
    train(log, range(1, 3))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(RunLog, "_append", full)
        disk.setattr(metrics.atomic, "write_bytes", full)
        disk.setattr(metrics, "_append_events", full)
        train(log, range(3, 9))
        log.plot("run")
        log.write_state({"step": 8})
    assert len(rows_of(tmp_path / "run")) == 1
    err = capsys.readouterr().err
    assert err.count("metrics.jsonl: not written (No space left on device); training goes on") == 1
    assert log.warnings == err.count("warning: ") == 4  # rows, events, plot, state
    train(log, range(9, 11))
    assert [row["step"] for row in rows_of(tmp_path / "run")] == [2, 4, 4, 6, 8, 8, 10]
    with monkeypatch.context() as disk:
        disk.setattr(RunLog, "_append", full)
        train(log, range(11, 13))
    log.close()
    assert len(rows_of(tmp_path / "run")) == len(log.history) > 7


def scalars(folder: Path, tag: str) -> list[tuple[int, float]]:
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(tag)]


def test_tensorboard_shows_the_rows_and_hides_what_a_resumed_run_forgot(tmp_path: Path):
    log = log_of(tmp_path / "run")
    train(log, range(1, 9))
    train(log_of(tmp_path / "run", rows=3, step=4, tokens=40), range(5, 7))
    assert scalars(tmp_path / "run", "train/loss") == [(2, 0.5), (4, 0.25), (6, pytest.approx(1 / 6))]
    assert scalars(tmp_path / "run", "eval/loss") == [(4, 0.5)]
    assert [step for step, _ in scalars(tmp_path / "run", "wall/tokens_per_s")] == [2, 4, 6]


def test_trainer_state_holds_the_history(tmp_path: Path):
    log = log_of(tmp_path / "run")
    train(log, range(1, 5))
    log.write_state({"step": 4, "best_step": None})
    state = json.loads((tmp_path / "run" / "trainer_state.json").read_text("utf-8"))
    assert (state["step"], state["best_step"], state["total_steps"]) == (4, None, 100)
    assert state["log_history"] == rows_of(tmp_path / "run")


def test_the_plot_is_a_png(tmp_path: Path):
    log = log_of(tmp_path / "run")
    train(log, range(1, 21))
    log.plot("run: sft")
    assert (tmp_path / "run" / "training_loss.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_mfu_is_shown_for_known_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA RTX A6000")
    log = RunLog(tmp_path, total_steps=1, device=torch.device("cuda"), flops_per_token=15.48e9)
    assert log._mfu(5000.0) == {"mfu": 0.5}
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA GeForce GT 1030")
    assert log._mfu(5000.0) == {}


def test_peak_memory_is_at_least_what_is_held():
    peak = peak_memory_bytes(torch.device("cpu"))
    assert peak is not None
    assert psutil.Process().memory_info().rss <= peak_memory_bytes(torch.device("cpu")) < psutil.virtual_memory().total
