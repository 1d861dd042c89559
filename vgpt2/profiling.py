"""Where a step's time goes: a torch.profiler trace of some steps beside the run, and a table of the parts of a step.

Each part ends with a wait for the device, so that its time is its own and not that of what it had to wait for; between the steps that are
profiled nothing waits. A trace is opened with ui.perfetto.dev or chrome://tracing.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import torch
from torch.profiler import ProfilerActivity, record_function, schedule
from torch.profiler import profile as torch_profile

from vgpt2 import atomic

TRACE = "trace.json.gz"
WARM_UP = 2  # steps before the first that counts: allocators, kernels and the profiler itself come to rest


class Profile:
    """Traces `steps` steps after WARM_UP others into `folder`; `say` gets the table, line by line.

    with Profile(run_dir, steps=3, parts=("data", "forward"), device=device, say=print) as profile:
        for batch in batches:
            with profile.part("forward"):
                ...
            profile.step()
    """

    def __init__(self, folder: Path, *, steps: int, parts: Sequence[str], device: torch.device, say: Callable[[str], None]) -> None:
        self._path, self._steps, self._device, self._say = folder / TRACE, steps, device, say
        self._seconds = dict.fromkeys(parts, 0.0)
        self._done = 0  # steps, those of the warm-up among them
        self._began_s = self._took_s = 0.0
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
        plan = schedule(wait=WARM_UP - 1, warmup=1, active=steps, repeat=1)
        self._profiler = torch_profile(activities=activities, schedule=plan, on_trace_ready=self._finish)

    def __enter__(self) -> "Profile":
        self._profiler.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._profiler.stop()  # writes the trace of a run that ends in the middle of it
        if self._done <= WARM_UP:
            self._say(f"profile: the run has ended in the warm-up of {WARM_UP} steps; nothing was traced")

    @property
    def is_on(self) -> bool:
        return WARM_UP <= self._done < WARM_UP + self._steps

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """A stretch of a step under this name, one of `parts`."""
        if not self.is_on:
            yield
            return
        began = time.perf_counter()
        with record_function(name):
            yield
            self._wait()
        self._seconds[name] += time.perf_counter() - began

    def step(self) -> None:
        """A step is over."""
        if self.is_on:
            self._took_s = time.perf_counter() - self._began_s
        self._done += 1
        if self._done == WARM_UP:
            self._wait()
            self._began_s = time.perf_counter()
        self._profiler.step()

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)

    def _finish(self, profiler: "torch_profile") -> None:
        tmp = self._path.with_name(f".{self._path.name}")
        try:
            profiler.export_chrome_trace(str(tmp))
            atomic.rename(tmp, self._path)
            where = f"trace in {self._path}"
        except OSError as error:
            tmp.unlink(missing_ok=True)
            where = f"no trace: {self._path}: {(error.strerror or str(error)).lower()}"
        steps = min(self._done, WARM_UP + self._steps) - WARM_UP
        if steps > 0:
            for line in table(self._seconds, took_s=self._took_s, steps=steps):
                self._say(line)
        self._say(where)


def table(seconds: dict[str, float], *, took_s: float, steps: int) -> list[str]:
    """One line a part with its milliseconds a step and its share of the `took_s` seconds that `steps` steps took; the rest is last."""
    rest = max(took_s - sum(seconds.values()), 0.0)
    lines = [f"{f'time of {steps} steps':18} {'ms a step':>10} {'share':>7}"]
    for name, value in {**seconds, "between them": rest, "a step": took_s}.items():
        lines.append(f"{name:18} {1000 * value / steps:10.2f} {value / took_s:7.1%}")
    return lines
