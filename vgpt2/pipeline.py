"""A chain of commands with its state on disk: finished steps are skipped, half ones go on, a killed one is harmless.

    python -m vgpt2.pipeline --config configs/demo/pipeline.yaml

Each step is one of our commands in a process of its own. A step is finished when it ended with 0 and its outputs stand; it is the same step
as long as its command and the bytes of its inputs are the same.
"""

import argparse
import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

from pydantic import Field

from vgpt2 import __version__, atomic
from vgpt2.config import Part
from vgpt2.configfile import ConfigError, load
from vgpt2.interrupts import lasting_output
from vgpt2.preflight import sha256_of
from vgpt2.runlock import RunLock, process_start_time

EXAMPLES = """examples:
  python -m vgpt2.pipeline --config configs/demo/pipeline.yaml
  python -m vgpt2.pipeline --config configs/demo/pipeline.yaml --redo sft
"""
OURS = ("vgpt2.", "eval.")  # only our own commands are started


class StepConfig(Part):
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]
    command: Annotated[tuple[str, ...], Field(min_length=1)]
    """module and arguments: [vgpt2.train, --stage, sft]"""
    inputs: tuple[str, ...] = ()
    """files and folders whose bytes make it another step"""
    outputs: Annotated[tuple[str, ...], Field(min_length=1)]
    """files that must stand when it is finished; --redo removes them"""
    owns: tuple[str, ...] = ()
    """folders that this step alone fills; --redo removes them too"""
    begun: str | None = None
    """file that shows a half-done step, which then goes on with `resume` added to its command"""
    resume: tuple[str, ...] = ()
    minutes: Annotated[float, Field(gt=0)]
    """expected, on two cores"""


class PipelineConfig(Part):
    folder: str
    """where state and lock lie"""
    steps: Annotated[tuple[StepConfig, ...], Field(min_length=1)]
    show: str
    """text file printed at the end: the table"""
    summaries: dict[str, str] = Field(default_factory=dict)
    """label -> summary.json of a training step, added up in the line below the table"""
    places: dict[str, str] = Field(default_factory=dict)
    """label -> path, printed last"""


@dataclass
class Ledger:
    """The state file: for each finished step its key and what it cost, and the child that runs now."""

    path: Path
    entries: dict[str, dict[str, Any]]

    @classmethod
    def open(cls, path: Path) -> "Ledger":
        if not path.exists():
            return cls(path, {})
        try:
            return cls(path, json.loads(path.read_text("utf-8")))
        except (ValueError, RecursionError):
            raise ValueError(f"{path}: not JSON; remove it and every step is checked anew") from None

    def put(self, name: str, entry: dict[str, Any]) -> None:
        self.entries[name] = entry
        atomic.write_text(self.path, json.dumps(self.entries, indent=2) + "\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 done, 2 something to mend, 3 a gate said no, 130 or 143 interrupted and resumable."""
    parser = argparse.ArgumentParser(
        prog="python -m vgpt2.pipeline",
        description="Run a chain of commands; call it again after any interruption.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--redo", metavar="STEP", help="forget this step and all after it, then run")
    parser.add_argument("--version", action="version", version=f"vgpt2 {__version__}")
    args = parser.parse_args(argv)
    try:
        cfg = load(PipelineConfig, args.config)
        check_steps(cfg, args.config)
        folder = Path(cfg.folder)
        folder.mkdir(parents=True, exist_ok=True)
        with lasting_output(), RunLock(folder, say=print):
            return run(cfg, Ledger.open(folder / "pipeline.json"), redo=args.redo)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2


def check_steps(cfg: PipelineConfig, path: Path) -> None:
    names = [step.name for step in cfg.steps]
    errors = [f"{path}: two steps are named '{name}'" for name in sorted(set(names)) if names.count(name) > 1]
    errors += [
        f"{path}: step '{step.name}' starts '{step.command[0]}'; allowed are our own commands, vgpt2.* and eval.*"
        for step in cfg.steps
        if not step.command[0].startswith(OURS)
    ]
    if errors:
        raise ConfigError(errors)


def run(cfg: PipelineConfig, ledger: Ledger, *, redo: str | None) -> int:
    began = time.monotonic()
    refuse_second_child(ledger)
    if redo is not None:
        forget(cfg, ledger, redo)
    reused = 0
    for number, step in enumerate(cfg.steps, 1):
        if is_finished(step, ledger):
            reused += 1
            continue
        if reused == number - 1:
            print_plan(cfg, ledger)
        refuse_changed(step, ledger)
        print(f"\n[{number}/{len(cfg.steps)}] {step.name}", flush=True)
        code = run_step(step, ledger)
        if code:
            print(f"step '{step.name}' ended with {code}; the same command goes on from here", file=sys.stderr)
            return code
    if reused == len(cfg.steps):
        print(f"all {reused} steps were finished before; run one again with --redo STEP: {', '.join(step.name for step in cfg.steps)}")
    print_end(cfg, ledger, seconds=time.monotonic() - began)
    return 0


def run_step(step: StepConfig, ledger: Ledger) -> int:
    """Starts the step's command, passes signals on, notes its cost; returns its exit code."""
    key = step_key(step)
    argv = [sys.executable, "-m", *step.command]
    if step.begun and Path(step.begun).exists():
        argv += step.resume
    began = time.monotonic()
    # a group of its own: Ctrl+C reaches the child once, through us
    child = subprocess.Popen(argv, start_new_session=os.name == "posix")
    ledger.put("running", {"step": step.name, "pid": child.pid, "start": process_start_time(child.pid)})
    with passing_signals(child):
        usage = wait(child)
    ledger.entries.pop("running", None)
    missing = [path for path in step.outputs if not Path(path).exists()]
    if child.returncode == 0 and missing:
        raise ValueError(f"step '{step.name}' ended with 0 but left no {missing[0]}; its `outputs` in the config may be wrong")
    entry = {"key": key, "seconds": round(time.monotonic() - began, 1), **usage}
    ledger.put(step.name, entry | {"finished": child.returncode == 0})
    code = child.returncode
    return 128 - code if code < 0 else code


def wait(child: "subprocess.Popen[bytes]") -> dict[str, float]:
    """Waits; CPU seconds and peak memory of the child where the system tells them."""
    if not hasattr(os, "wait4"):
        child.wait()
        return {}
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return {
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_bytes": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    }


@contextlib.contextmanager
def passing_signals(child: "subprocess.Popen[bytes]") -> Iterator[None]:
    """SIGINT and SIGTERM go to the child, which saves and ends; we end after it. A closed terminal ends neither."""

    def pass_on(number: int, _: FrameType | None) -> None:
        if os.name == "posix":  # a Windows console tells the child itself
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, number)

    handlers: dict[int, Callable[[int, FrameType | None], None]] = {signal.SIGINT: pass_on, signal.SIGTERM: pass_on}
    if hasattr(signal, "SIGHUP"):
        handlers[signal.SIGHUP] = lambda number, _: None  # the terminal is gone, the step goes on and so do we
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def step_key(step: StepConfig) -> str:
    """Hash of the command and of its inputs' bytes."""
    parts = [*step.command, __version__]
    for name in step.inputs:
        path = Path(name)
        files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
        parts += [f"{file.as_posix()}={sha256_of(file)}" for file in files]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def is_finished(step: StepConfig, ledger: Ledger) -> bool:
    entry = ledger.entries.get(step.name, {})
    if not entry.get("finished") or not all(Path(path).exists() for path in (*step.outputs, *step.inputs)):
        return False
    return bool(entry["key"] == step_key(step))


def refuse_changed(step: StepConfig, ledger: Ledger) -> None:
    """A step that ran from another command or other inputs is not mixed with what it left."""
    entry = ledger.entries.get(step.name)
    if entry and entry["key"] != step_key(step) and any(Path(path).exists() for path in (*step.outputs, step.begun or "/nonexistent")):
        raise ValueError(
            f"step '{step.name}': its command or inputs have changed since it ran; run it and all after it again with --redo {step.name}"
        )


def refuse_second_child(ledger: Ledger) -> None:
    running = ledger.entries.get("running")
    if running and running["start"] is not None and process_start_time(running["pid"]) == running["start"]:
        who = f"step '{running['step']}' of an earlier call still runs as process {running['pid']}"
        raise ValueError(f"{who}; wait for it, or end it with kill {running['pid']}")


def forget(cfg: PipelineConfig, ledger: Ledger, name: str) -> None:
    """Removes the outputs and folders of step `name` and of all after it, and their entries."""
    names = [step.name for step in cfg.steps]
    if name not in names:
        raise ValueError(f"--redo {name[:80]}: no such step; there are {', '.join(names)}")
    for step in cfg.steps[names.index(name) :]:
        for path in map(Path, (*step.owns, *step.outputs)):
            if atomic.is_link(path):
                raise ValueError(f"{path}: is a link and is not removed; remove it by hand")
            atomic.discard(path)
        ledger.entries.pop(step.name, None)
    ledger.entries.pop("running", None)
    atomic.write_text(ledger.path, json.dumps(ledger.entries, indent=2) + "\n")


def print_plan(cfg: PipelineConfig, ledger: Ledger) -> None:
    todo = [step for step in cfg.steps if not is_finished(step, ledger)]
    print(f"{len(todo)} of {len(cfg.steps)} steps to do, about {sum(step.minutes for step in todo):.0f} minutes on two cores:")
    for number, step in enumerate(cfg.steps, 1):
        print(f"  {number}. {step.name:12} {'reused' if step not in todo else f'{step.minutes:4.1f} min'}")


def print_end(cfg: PipelineConfig, ledger: Ledger, *, seconds: float) -> None:
    print("\n" + Path(cfg.show).read_text("utf-8").rstrip())
    entries = [entry for name, entry in ledger.entries.items() if name != "running"]
    for label, path in cfg.summaries.items():
        summary = json.loads(Path(path).read_text("utf-8"))
        print(f"{label}: {summary['line']}")
    cost = f"{sum(entry['seconds'] for entry in entries):.0f} s in all steps"
    if all("cpu_seconds" in entry for entry in entries):
        peak_gib = max(entry["peak_bytes"] for entry in entries) / 2**30
        cost += f", {sum(entry['cpu_seconds'] for entry in entries):.0f} CPU-seconds, peak {peak_gib:.1f} GiB"
    print(f"this call {seconds:.0f} s; {cost}")
    for label, path in cfg.places.items():
        print(f"{label:12} {path}")


if __name__ == "__main__":
    sys.exit(main())
