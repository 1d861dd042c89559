"""Tiny runs that are killed, or whose disk fails, again and again; each goes on until it ends, and is compared with the undisturbed one."""

import shutil
import signal
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from faults.injection import faulty_environment
from tiny_runs import Place, differences, leftovers, start, train


@dataclass
class Kills:
    """What became of runs that were killed again and again: `survived` of the `tried` kills left a run that ended bit for bit."""

    tried: int = 0
    survived: int = 0
    different: list[str] = field(default_factory=list)
    leftover_bytes: int = 0  # in the finished folders, more than in the undisturbed ones


def kill_at_random(place: Place, stage: str, undisturbed: Path, rng: Random, kills: int, *, seconds: float) -> Kills:
    """Starts runs and kills each at random moments of its `seconds`, going on after each, until `kills` of them have hit a living run."""
    result, number, hits = Kills(), 0, 0
    while True:
        name = f"killed-{stage}-{number}"
        run = start(place.go_on(stage, name))
        if result.tried < kills:
            run.process.join(rng.uniform(0, seconds))
            run.process.kill()
        done = run.wait()
        if done.code == -signal.SIGKILL:
            result.tried, hits = result.tried + 1, hits + 1
            continue
        folder = place.output / name
        found = [f"exit code {done.code}: {done.err}"] if done.code else differences(folder, undisturbed) + leftovers(folder)
        if found:
            result.different.append(f"{name}: {found}")
        else:
            result.survived += hits
            result.leftover_bytes += max(0, _size(folder) - _size(undisturbed))
        if result.tried >= kills:
            return result
        number, hits = number + 1, 0


@dataclass
class Events:
    """What became of a run with a fault at one of its file events after another."""

    existing: int
    covered: int = 0
    went_on: int = 0  # the run itself ended well
    different: list[str] = field(default_factory=list)


def fault_at_events(output: Path, stopped: Path, model: Path, undisturbed: Path, action: str, *, first: int = 1, every: int = 1) -> Events:
    """Copies of the run `stopped` go on with `action` at file event first, first + every, ... and then once more without it.

    action is kill or an errno's name, see faults/injection.py; a disk fails where something is made, renamed or flushed.
    """
    place = Place(output / f"{action}-count", model)
    shutil.copytree(stopped, place.output / "run")
    log = output / f"{action}.events"
    assert train(place.resume(), environment=faulty_environment(place.output / "run", log)).code == 0
    events = enumerate(log.read_text("utf-8").splitlines(), 1)
    numbers = [at for at, event in events if action == "kill" or event.split()[0] in ("open", "os.mkdir", "os.rename", "fsync")]
    result = Events(existing=len(numbers))
    for at in numbers[first - 1 :: every]:
        place = Place(output / f"{action}-{at}", model)
        run_dir = place.output / "run"
        shutil.copytree(stopped, run_dir)
        log.unlink()
        done = train(place.resume(), environment=faulty_environment(run_dir, log, at=at, action=action))
        event = log.read_text("utf-8").splitlines()[at - 1]
        result.covered += 1
        result.went_on += done.code == 0
        allowed = {-signal.SIGKILL} if action == "kill" else {0, 2}
        problems = [] if done.code in allowed and "Traceback" not in done.err else [f"exit code {done.code}: {done.err}"]
        if done.code:
            again = train(place.resume())
            problems += [] if again.code == 0 else [f"then {again.code}: {again.err}"]
        # a disk that fails while the lock is given back leaves that of a dead owner, which the next start takes over
        left = leftovers(run_dir) if done.code else [name for name in leftovers(run_dir) if name != "run.lock"]
        problems += differences(run_dir, undisturbed) + left
        if problems:
            result.different.append(f"{action} at event {at}, {event}: {problems}")
        shutil.rmtree(place.output)
    return result


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
