"""Whole runs of the training command on the tiny model, seconds each, with faults where a test wants them.

Every run is a process of its own, with its own signals, exit code and death, but forked from a warm one that has imported everything: that
spares five CPU-seconds a run. What runs in it is the command's main().
"""

import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

from vgpt2 import checkpoint

REPOSITORY = Path(__file__).parents[1]
STAGES = ("sft", "dpo", "kto")
# 4 steps an epoch and 8 in all: saved at 3 (inside an epoch), 4 (its end, where the evaluation is the best so far), 6 and 8
SETTINGS = {"epochs": "2", "log_every": "2", "checkpoint.save_every": "3", "checkpoint.eval_every": "4", "checkpoint.keep": "2"}
STEPS = 8
# what a run on a device sets: on a card it computes as users do, in bf16, and may be compared bit for bit
ON = {"cpu": {}, "cuda": {"device": "cuda", "model__dtype": "bfloat16", "deterministic": True}}
PLOT = "vgpt2.plot:loss_curve"
WARM = [  # what a run imports, also what it imports late
    "vgpt2.train",
    "vgpt2.run",
    "vgpt2.plot",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "tensorboard.compat.proto.event_pb2",
    "tensorboard.summary.writer.record_writer",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.llama.configuration_llama",
    "transformers.utils.chat_template_utils",
]


@dataclass(frozen=True)
class Done:
    """How a run ended; `seconds` since its start, `answered_cpu_s` CPU seconds of its own since its trigger was pulled."""

    code: int
    out: str
    err: str
    seconds: float
    answered_cpu_s: float | None = None


@dataclass(frozen=True)
class Trigger:
    """Something that happens in the run when a function is called for the `call`-th time: `place` is "module:name".

    signals go to the run's own process before the function begins, each `apart_s` after the one before; or `instead` is called in its
    place, that time and ever after.
    """

    place: str
    call: int = 1
    signals: tuple[int, ...] = ()
    apart_s: float = 0.0
    instead: Callable[[], Any] | None = None


@dataclass
class Run:
    """A started run."""

    process: Any
    streams: Path
    began: float = field(default_factory=time.monotonic)

    def wait(self, timeout_s: float = 120) -> Done:
        self.process.join(timeout_s)
        ended = time.monotonic()
        if self.process.exitcode is None:
            self.process.kill()
            raise TimeoutError(f"still running after {timeout_s} s: {self._read('out')}{self._read('err')}")
        pulled, left = self._read("pulled"), self._read("left")
        answered_cpu_s = float(left) - float(pulled) if pulled and left else None
        done = Done(self.process.exitcode, self._read("out"), self._read("err"), ended - self.began, answered_cpu_s)
        shutil.rmtree(self.streams)
        return done

    def send(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def wait_for(self, text: str, timeout_s: float = 60) -> None:
        """Returns once the run has printed `text`, on either stream."""
        deadline = time.monotonic() + timeout_s
        while text not in self._read("out") + self._read("err"):
            assert self.process.is_alive(), self._read("out") + self._read("err")
            assert time.monotonic() < deadline, f"{text!r} has not come: {self._read('out')}{self._read('err')}"
            time.sleep(0.01)

    def _read(self, name: str) -> str:
        path = self.streams / name
        return path.read_text("utf-8") if path.exists() else ""


def start(argv: Sequence[str], *, trigger: Trigger | None = None, environment: Mapping[str, str] | None = None, threads: int = 1) -> Run:
    """A run of `python -m vgpt2.train argv...` in the repository; `environment` may hold the faults of faults/injection.py."""
    streams = Path(tempfile.mkdtemp(prefix="vgpt2-run-"))
    process = _context().Process(target=_child, args=(list(argv), streams, trigger, dict(environment or {}), threads))
    with _script_hidden():
        process.start()
    return Run(process, streams)


def train(argv: Sequence[str], **options: Any) -> Done:
    """`start`, and the run's end."""
    return start(argv, **options).wait()


@dataclass(frozen=True)
class Place:
    """Where runs of a test lie, and the model and settings that they share."""

    output: Path
    model: Path

    def argv(self, stage: str, name: str = "run", **settings: object) -> list[str]:
        """The arguments of a new run; a key's dots are written as two underscores: optim__lr=1e-3."""
        given = SETTINGS | {"output": self.output, "model.path": self.model}
        given |= {key.replace("__", "."): value for key, value in settings.items()}
        sets = [part for key, value in given.items() for part in ("--set", f"{key}={_yaml(value)}")]
        return ["--stage", stage, "--config", f"configs/tiny/{stage}.yaml", "--run", name, *sets]

    def resume(self, name: str = "run", *more: str) -> list[str]:
        return ["--run", name, "--set", f"output={self.output}", "--resume", *more]

    def go_on(self, stage: str, name: str) -> list[str]:
        """What somebody types after a kill: --resume, or the first command again where the run had not begun."""
        return self.resume(name) if (self.output / name / "run.json").exists() else self.argv(stage, name)


def _yaml(value: object) -> str:
    return str(value) if isinstance(value, str | Path) else json.dumps(value)


def outcome(run_dir: Path) -> dict[str, Any]:
    """What a finished run must share with the undisturbed one: weights, moments and state, pointers, and metrics but for wall times."""
    latest, reference = checkpoint.resolve(run_dir / "latest"), run_dir / "ref_logps.safetensors"
    files = {path.name: path.read_bytes() for path in latest.iterdir() if path.name not in (checkpoint.MANIFEST, "trainer_state.json")}
    state = json.loads((latest / "trainer_state.json").read_text("utf-8"))
    rows = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text("utf-8").splitlines()]
    return {
        **files,
        "state": state,
        "metrics": [{key: value for key, value in row.items() if key != "wall"} for row in rows],
        "latest": latest.name,
        "best": checkpoint.resolve(run_dir / "best").name,
        "reference": load_file(reference)["ref_logps"].tobytes() if reference.exists() else None,
    }


def differences(run_dir: Path, undisturbed: Path) -> list[str]:
    """The names of what differs between two finished runs; [] is bit for bit."""
    here, there = outcome(run_dir), outcome(undisturbed)
    return [name for name in sorted(here.keys() | there.keys()) if here.get(name) != there.get(name)]


def leftovers(run_dir: Path) -> list[str]:
    """Names of half-written, half-deleted and lock files that a finished run must not leave."""
    return sorted(path.name for path in run_dir.iterdir() if path.name.startswith(".") or path.name == "run.lock")


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _context() -> BaseContext:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(WARM)
    return context


@contextmanager
def _script_hidden():
    """A new process would run the script that started the tests once more, for nothing."""
    main = vars(sys.modules["__main__"])
    names = {name: main[name] for name in ("__spec__", "__file__") if name in main}
    main |= dict.fromkeys(names)
    try:
        yield
    finally:
        main |= names


def _child(argv: list[str], streams: Path, trigger: Trigger | None, environment: dict[str, str], threads: int) -> None:
    for fd, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(streams / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND), fd)
    os.environ.update(environment)
    os.chdir(REPOSITORY)
    import torch
    import tqdm

    from vgpt2 import chat_template, plot
    from vgpt2 import train as command
    from vgpt2.tiny import CHATML

    torch.set_num_threads(threads)
    tqdm.tqdm.set_lock(threading.RLock())  # its own is a semaphore that outlives a killed process
    chat_template.trust(chat_template.fingerprint(CHATML))  # its trial, in a process of its own, has tests elsewhere
    if "FAULT_ROOT" in environment:
        import_module("faults.sitecustomize")
    if trigger:
        _set(trigger, streams / "pulled")
    if trigger is None or trigger.place != PLOT:
        plot.loss_curve = lambda rows, title: b"a picture takes longer than the run"
    sys.argv = ["train", *argv]
    try:
        sys.exit(command.main(argv))
    finally:
        (streams / "left").write_text(str(time.process_time()), "utf-8")


def _set(trigger: Trigger, pulled: Path) -> None:
    module, _, path = trigger.place.partition(":")
    *parents, name = path.split(".")
    owner: Any = import_module(module)
    for parent in parents:
        owner = getattr(owner, parent)
    original = getattr(owner, name)
    calls = 0

    def pull(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == trigger.call:
            pulled.write_text(str(time.process_time()), "utf-8")
            if trigger.signals:
                _send(trigger.signals, trigger.apart_s)
        if trigger.instead and calls >= trigger.call:
            return trigger.instead()
        return original(*args, **kwargs)

    setattr(owner, name, pull)


def _send(signals: tuple[int, ...], apart_s: float) -> None:
    os.kill(os.getpid(), signals[0])
    if signals[1:]:
        later = threading.Timer(apart_s, _send, (signals[1:], apart_s))
        later.daemon = True
        later.start()
