"""What a run shows and keeps: a console line a logged step, metrics.jsonl, TensorBoard events, trainer_state.json, training_loss.png.

Training never stops for a log: a full disk or a closed terminal costs one warning, and metrics.jsonl is made whole when there is room.

    log = RunLog(run_dir, total_steps=1000)
    log.advance(step, tokens=tokens)                    # every step
    log.train(step, {"loss": 0.51, "lr": 1e-4}, tokens=tokens)
"""

import json
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import torch
from tqdm import tqdm

from vgpt2 import atomic

COLUMNS = (  # of the console line: metric, heading, format
    ("loss", "loss", ".4f"),
    ("rewards/accuracy", "reward/acc", ".2f"),
    ("rewards/margin", "margin", ".2f"),
    ("kl", "kl", ".3f"),
    ("lr", "lr", ".1e"),
    ("grad_norm", "grad", ".2f"),
    ("task/right", "right", ".2f"),
    ("task/resolves", "resolves", ".2f"),
    ("task/false_rejection", "denied", ".2f"),
    ("task/false_acceptance", "believed", ".2f"),
    ("task/collapse", "collapsed", ".2f"),
)
PEAK_FLOPS = {"A6000": 154.8e12, "A100": 312e12, "H100": 989e12, "H200": 989e12, "4090": 165.2e12}  # dense bf16, fp32 sums
SILENCE_S = 60.0  # a piped log shows at least one line in this time
METRICS, STATE, PLOT, EVENTS = "metrics.jsonl", "trainer_state.json", "training_loss.png", "tensorboard"


class RunLog:
    """The log of one run folder. A resumed run gives the `rows`, `step` and `tokens` of its checkpoint: later rows are forgotten, so that
    metrics.jsonl becomes that of the undisturbed run but for what stands under "wall".

    flops_per_token: floating point operations a token needs in forward and backward, for MFU on known GPUs.
    """

    def __init__(
        self,
        run_dir: Path,
        *,
        total_steps: int,
        rows: int = 0,
        step: int = 0,
        tokens: int = 0,
        device: torch.device | None = None,
        flops_per_token: float | None = None,
    ) -> None:
        self.run_dir = run_dir
        self.total_steps = total_steps
        self.warnings = 0
        self._device = device or torch.device("cpu")
        self._flops_per_token = flops_per_token
        self._warned: set[str] = set()
        self._console = True
        self._bar = tqdm(total=total_steps, initial=step, unit="step", dynamic_ncols=True, disable=not _is_terminal(sys.stderr))
        self._start = self._line_time = self._mark_time = time.monotonic()
        self._start_step, self._mark_tokens, self._busy_s = step, tokens, 0.0
        self.history = self._reopen(rows)
        self._is_whole = True  # metrics.jsonl holds every row of history
        self._rewrite()
        self._events: Path | None = None
        self._start_events(step)

    @property
    def rows(self) -> int:
        """Rows of metrics.jsonl."""
        return len(self.history)

    def advance(self, step: int, *, tokens: int) -> None:
        """An optimizer step is done; `tokens` were seen in all."""
        now = time.monotonic()
        self._busy_s += now - self._mark_time
        self._mark_time = now
        self._bar.update(step - self._bar.n)
        if self._bar.disable and now - self._line_time > SILENCE_S:
            self.say(f"step {step:5d}/{self.total_steps}  {tokens:,} tokens  eta {self._eta(step)}")

    def train(self, step: int, values: Mapping[str, float], *, tokens: int) -> None:
        """Means over the steps since the last call, `lr` among them."""
        wall: dict[str, float] = {"seconds": round(time.monotonic() - self._start, 3)}
        if self._busy_s > 0:
            wall["tokens_per_s"] = round((tokens - self._mark_tokens) / self._busy_s, 1)
            wall |= self._mfu(wall["tokens_per_s"])
        memory = peak_memory_bytes(self._device)
        if memory is not None:
            wall["peak_memory_bytes"] = memory
        self._mark_tokens, self._busy_s = tokens, 0.0
        self._keep({"kind": "train", "step": step, **values, "tokens": tokens, "wall": wall})
        speed = [f"{_short(wall['tokens_per_s'])} tok/s"] if "tokens_per_s" in wall else []
        speed += [f"{memory / 2**30:.1f} GiB"] if memory is not None else []
        self.say("  ".join([f"step {step:5d}/{self.total_steps}", *_columns(values), *speed, f"eta {self._eta(step)}"]))

    def eval(self, step: int, values: Mapping[str, float], *, took_s: float) -> None:
        """Values of an evaluation, each named `eval/...` or, of the probe, `task/...`."""
        wall = {"seconds": round(time.monotonic() - self._start, 3), "took_s": round(took_s, 3)}
        self._keep({"kind": "eval", "step": step, **values, "wall": wall})
        shown = {name.removeprefix("eval/"): value for name, value in values.items()}
        self.say("  ".join([f"eval {step:5d}/{self.total_steps}", *_columns(shown), f"took {took_s:.0f} s"]))
        self._mark_time = time.monotonic()  # an evaluation is no training time

    def say(self, text: str) -> None:
        """A line on standard output, above the progress bar if there is one."""
        self._print(text, sys.stdout)
        self._line_time = time.monotonic()

    def warn(self, text: str) -> None:
        """A counted warning on standard error."""
        self.warnings += 1
        self._print(f"warning: {text}", sys.stderr)

    def plot(self, title: str) -> None:
        """Writes training_loss.png; a failing disk costs a warning."""
        from vgpt2.plot import loss_curve

        self._survive(PLOT, lambda: atomic.write_bytes(self.run_dir / PLOT, loss_curve(self.history, title)))

    def write_state(self, state: Mapping[str, Any]) -> None:
        """Writes trainer_state.json, `state` and all rows so far; a failing disk costs a warning."""
        text = json.dumps({**state, "total_steps": self.total_steps, "log_history": self.history}, indent=1)
        self._survive(STATE, lambda: atomic.write_text(self.run_dir / STATE, text + "\n"))

    def close(self) -> None:
        """Takes the progress bar away, and tries once more to make metrics.jsonl whole."""
        self._bar.close()
        if not self._is_whole:
            self._is_whole = self._survive(METRICS, self._rewrite)

    def _keep(self, row: dict[str, Any]) -> None:
        row = {name: value if not isinstance(value, float) or math.isfinite(value) else None for name, value in row.items()}
        self.history.append(row)
        self._is_whole = self._survive(METRICS, (lambda: self._append(row)) if self._is_whole else self._rewrite)
        self._write_events(row)

    def _append(self, row: dict[str, Any]) -> None:
        with open(self.run_dir / METRICS, "ab") as file:
            file.write(json.dumps(row).encode("utf-8") + b"\n")

    def _rewrite(self) -> None:
        atomic.write_text(self.run_dir / METRICS, "".join(json.dumps(row) + "\n" for row in self.history))

    def _reopen(self, rows: int) -> list[dict[str, Any]]:
        """The first `rows` rows of the folder's metrics.jsonl; fewer, with a warning, when it has lost some."""
        history: list[dict[str, Any]] = []
        with suppress(OSError, ValueError):
            for line in (self.run_dir / METRICS).read_text("utf-8").splitlines()[:rows]:
                history.append(json.loads(line))
        if len(history) < rows:
            self.warn(f"{self.run_dir / METRICS}: {len(history)} of {rows} rows are left; curves start later, training is not affected")
        return history

    def _start_events(self, step: int) -> None:
        """A fresh event file; what an interrupted run logged after `step` is hidden from the charts."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        def start() -> None:
            (self.run_dir / EVENTS).mkdir(exist_ok=True)
            self._events = self.run_dir / EVENTS / f"events.out.tfevents.{time.time_ns()}"
            events = [Event(wall_time=time.time(), file_version="brain.Event:2")]
            events += [Event(wall_time=time.time(), step=step + 1, session_log=SessionLog(status=SessionLog.START))] if step else []
            _append_events(self._events, events)

        if not self._survive(EVENTS, start):
            self._events = None

    def _write_events(self, row: dict[str, Any]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = {name if name.startswith("eval/") else f"train/{name}": value for name, value in _numbers(row).items()}
        values |= {f"wall/{name}": value for name, value in _numbers(row["wall"]).items()}
        summary = Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in values.items()])
        event = Event(wall_time=time.time(), step=row["step"], summary=summary)
        if self._events is None:  # the one before may end in half a record, after which readers stop
            self._start_events(0)
        path = self._events
        if path is not None and not self._survive(EVENTS, lambda: _append_events(path, [event])):
            self._events = None

    def _survive(self, name: str, write: Callable[[], None]) -> bool:
        """Whether `write` succeeded; the first failure of each file is a warning."""
        try:
            write()
        except OSError as error:
            if name not in self._warned:
                self._warned.add(name)
                self.warn(f"{self.run_dir / name}: not written ({error.strerror or error}); training goes on")
            return False
        return True

    def _print(self, text: str, file: TextIO) -> None:
        if not self._console:
            return
        try:
            self._bar.write(text, file=file)
            file.flush()
        except (OSError, ValueError):  # the reader of the pipe or the terminal is gone: the files go on
            self._console = False

    def _eta(self, step: int) -> str:
        done = step - self._start_step
        if not done:
            return "?"
        seconds = round((time.monotonic() - self._start) / done * (self.total_steps - step))
        hours, rest = divmod(seconds, 3600)
        return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"

    def _mfu(self, tokens_per_s: float) -> dict[str, float]:
        """Share of the GPU's peak that is useful work; {} where the peak or the work is not known."""
        if self._flops_per_token is None or self._device.type != "cuda":
            return {}
        name = torch.cuda.get_device_name(self._device)
        peak = next((flops for model, flops in PEAK_FLOPS.items() if model in name), None)
        return {} if peak is None else {"mfu": round(tokens_per_s * self._flops_per_token / peak, 4)}


def write_scalars(folder: Path, step: int, values: Mapping[str, float]) -> None:
    """One more TensorBoard file in `folder` with these values at `step`."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    folder.mkdir(parents=True, exist_ok=True)
    summary = Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in values.items()])
    events = [Event(wall_time=time.time(), file_version="brain.Event:2"), Event(wall_time=time.time(), step=step, summary=summary)]
    _append_events(folder / f"events.out.tfevents.{time.time_ns()}", events)


def peak_memory_bytes(device: torch.device) -> int | None:
    """Most memory held so far: allocated tensors on CUDA, else the process's resident memory; None where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        # Linux hands ru_maxrss of the process that started us down to us; this figure is our own.
        for line in Path("/proc/self/status").read_text("ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS counts bytes


def _append_events(path: Path, events: Sequence[Any]) -> None:
    from tensorboard.summary.writer.record_writer import RecordWriter

    with open(path, "ab") as file:
        writer = RecordWriter(file)
        for event in events:
            writer.write(event.SerializeToString())


def _numbers(row: Mapping[str, Any]) -> dict[str, float]:
    return {name: value for name, value in row.items() if isinstance(value, int | float) and name != "step"}


def _columns(values: Mapping[str, float]) -> list[str]:
    return [f"{heading} {values[name]:{form}}" for name, heading, form in COLUMNS if name in values]


def _short(number: float) -> str:
    return f"{number / 1000:.1f}k" if number >= 10_000 else f"{number:,.0f}"


def _is_terminal(file: TextIO | None) -> bool:
    try:
        return file is not None and file.isatty()
    except ValueError:  # closed
        return False
