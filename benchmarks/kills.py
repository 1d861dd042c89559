"""How many kills a training run survives: python benchmarks/kills.py [--kills 100] [--events] [--json FILE]

SIGKILL at random moments of the tiny model's SFT, DPO and KTO, each run going on until it ends; survived is a kill whose run ended with
the weights, moments, state, reference and metrics (less wall times) of the undisturbed one, bit for bit. --events also kills a run, and
fails its disk, at every single file event from its last save but one to its end.
"""

import argparse
import json
import signal
import sys
import tempfile
import time
from pathlib import Path
from random import Random

REPOSITORY = Path(__file__).parents[1]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests")]

from tiny_kills import fault_at_events, kill_at_random  # noqa: E402 - found by the line above
from tiny_runs import STAGES, Place, Trigger, train  # noqa: E402

from vgpt2.embedded import build_tiny  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100, help="over the three stages together")
    parser.add_argument("--seed", type=int, default=time.time_ns(), help="of the moments")
    parser.add_argument("--events", action="store_true", help="also a kill and a full disk at every file event")
    parser.add_argument("--json", type=Path, help="where the figures go too")
    args = parser.parse_args()
    print("seed", args.seed)
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, "model")
        build_tiny(model)
        figures = {"seed": args.seed, "kills": random_kills(Path(folder), model, args.kills, args.seed)}
        if args.events:
            figures["events"] = every_event(Path(folder), model)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")
    counts = [(each["survived"], each["tried"]) for part in figures.values() if isinstance(part, dict) for each in part.values()]
    return 0 if all(survived == tried for survived, tried in counts) else 1


def random_kills(folder: Path, model: Path, kills: int, seed: int) -> dict[str, dict[str, object]]:
    """Figures by stage; the moments of a stage are spread evenly over the time of an undisturbed run."""
    figures: dict[str, dict[str, object]] = {}
    for position, stage in enumerate(STAGES):
        place = Place(folder / stage, model)
        train(place.argv(stage, "warm-up"))  # the first run waits for the imports of the process that the others come from
        done = train(place.argv(stage))
        share = kills * (position + 1) // len(STAGES) - kills * position // len(STAGES)
        found = kill_at_random(place, stage, place.output / "run", Random(f"{seed}/{stage}"), share, seconds=done.seconds)
        print(f"{stage}: survived {found.survived}/{found.tried} kills, {found.leftover_bytes:,} bytes more than undisturbed", flush=True)
        print(*found.different, sep="\n", end="\n" if found.different else "")
        figures[stage] = {"survived": found.survived, "tried": found.tried, "leftover_bytes": found.leftover_bytes}
    return figures


def every_event(folder: Path, model: Path) -> dict[str, dict[str, object]]:
    """Figures by fault, of an SFT run that was stopped after step 5 of 8: it saves at 6 and 8, rotates, and ends."""
    place = Place(folder / "events", model)
    undisturbed, stopped = place.output / "undisturbed", place.output / "run"
    train(place.argv("sft", "undisturbed"))
    assert train(place.argv("sft"), trigger=Trigger("vgpt2.loop:clip", 5, (signal.SIGINT,))).code == 130
    figures: dict[str, dict[str, object]] = {}
    for action in ("kill", "ENOSPC", "EIO"):
        found = fault_at_events(place.output, stopped, model, undisturbed, action)
        survived = found.covered - len(found.different)
        print(
            f"{action}: {found.covered}/{found.existing} file events covered, {survived} survived, {found.went_on} without --resume",
            flush=True,
        )
        print(*found.different, sep="\n", end="\n" if found.different else "")
        figures[action] = {"survived": survived, "tried": found.covered, "existing": found.existing, "without_resume": found.went_on}
    return figures


if __name__ == "__main__":
    sys.exit(main())
