"""Training speed and memory on a CPU against public peers: equal weights, rows, rank, dtype and optimizer, no checkpointing.

    python benchmarks/cpu.py --lengths mix,fixed --out benchmarks/results/cpu.json   # every stage, two rounds: half an hour on one core
    python benchmarks/cpu.py --cases ours-sft,trl-sft --rounds 4
    python benchmarks/cpu.py --readme benchmarks/results/cpu.json                    # the README's table of a measurement

Model: Qwen2 shape, D=512, 8 layers, 8/2 heads, FFN 1,408, V=32,000 tied, random weights, fp32; LoRA r16 on all linear layers; AdamW.
Rows: mixed lengths as in text-to-SQL sets (long uneven prompts, short answers), or fixed ones that fill a row. Rate: real tokens of the
policy's rows a second of process time, which other programs on the machine disturb little. Our reference pass is charged to the steps it
serves. Each case runs in its own process, cases take turns. Exit code 1 where first losses differ: sides trained on different things.
"""

import argparse
import importlib.metadata
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import workload

CASES = {  # and the README's names for them
    "ours-sft": "VGPT2 SFT",
    "peft-sft": "transformers + PEFT loop",
    "trl-sft": "TRL SFT",
    "trl-sft-packed": "TRL SFT, packed",
    "ours-dpo": "VGPT2 DPO (with its reference pass)",
    "trl-dpo": "TRL DPO",
    "ours-kto": "VGPT2 KTO (with its reference pass)",
    "trl-kto": "TRL KTO",
}
SAME_LOSS = 1e-3  # of first losses, fp32


def run_case(case: str, folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    import torch

    torch.set_num_threads(args.threads)
    side, stage, *packed = case.split("-")
    if side == "ours":
        import ours

        return ours.run(stage, folder, args)
    import peers

    return peers.run_peft(folder, args) if side == "peft" else peers.run_trl(stage, folder, args, packing=bool(packed))


def measure(args: argparse.Namespace, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Every case in a process of its own, in turns: A B C A B C."""
    results = []
    with tempfile.TemporaryDirectory() as folder:
        workload.write_model(Path(folder))
        for lengths, turn, case in itertools.product(args.lengths, range(args.rounds), args.cases):
            options = ["--steps", str(args.steps), "--lengths", lengths, "--threads", str(args.threads)]
            command = [sys.executable, __file__, "--case", case, "--model", folder, *options]
            environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": str(args.threads)}
            done = subprocess.run(command, capture_output=True, text=True, env=environment)
            if done.returncode:
                sys.exit(f"{case}: exit {done.returncode}\n{done.stderr[-2000:]}")
            results.append({"case": case, "lengths": lengths, "round": turn, **json.loads(done.stdout.splitlines()[-1])})
            say(json.dumps(results[-1]))
    return results


def table(results: list[dict[str, Any]]) -> str:
    """One line a case and kind of lengths: median rate with its range, the ratio to ours of the same stage, memory and first loss."""
    lines = [f"{'lengths':7} {'case':16} {'tok/CPU-s':>10} {'range':>17} {'ours is':>8} {'peak RSS':>9} {'first loss':>11}"]
    for lengths, case in dict.fromkeys((one["lengths"], one["case"]) for one in results):
        rates, ratio = rates_of(results, lengths, case), our_ratio(results, lengths, case)
        one = next(one for one in results if (one["lengths"], one["case"]) == (lengths, case))
        shown, spread = f"{ratio:.2f} x" if ratio else "", f"{min(rates):.0f}-{max(rates):.0f}"
        figures = f"{statistics.median(rates):10.0f} {spread:>17} {shown:>8} {one['peak_rss_mib']:5} MiB {one['first_loss']:11.4f}"
        lines.append(f"{lengths:7} {case:16} {figures}")
    return "\n".join(lines)


def rates_of(results: list[dict[str, Any]], lengths: str, case: str) -> list[float]:
    return [one["tokens_per_cpu_s"] for one in results if (one["lengths"], one["case"]) == (lengths, case)]


def our_ratio(results: list[dict[str, Any]], lengths: str, case: str) -> float | None:
    """How many times faster ours of the same stage is."""
    ours = rates_of(results, lengths, f"ours-{case.split('-')[1]}")
    return statistics.median(ours) / statistics.median(rates_of(results, lengths, case)) if ours else None


def disagreements(results: list[dict[str, Any]]) -> list[str]:
    """First losses that are not ours of the same stage; a packed peer has other rows in its first step where lengths are mixed."""
    found = []
    for one in results:
        is_same = not one["case"].endswith("packed") or one["lengths"] == "fixed"
        stage = one["case"].split("-")[1]
        ours = next((o for o in results if o["case"] == f"ours-{stage}" and o["lengths"] == one["lengths"]), one)
        if is_same and not abs(one["first_loss"] - ours["first_loss"]) < SAME_LOSS:
            found.append(f"{one['lengths']} {one['case']}: first loss {one['first_loss']}, ours {ours['first_loss']}")
    return found


def readme(record: dict[str, Any]) -> str:
    """The README's tables of a measurement, a kind of lengths each."""
    results, settings, machine = record["results"], record["settings"], record["machine"]
    threads = "one thread" if settings["threads"] == 1 else f"{settings['threads']} threads"
    parts = []
    for lengths in dict.fromkeys(one["lengths"] for one in results):
        kind = {"mix": "mixed", "fixed": "fixed"}[lengths]
        head = f"| {threads}, fp32, r{settings['rank']}, {kind} lengths | tokens per CPU-second | ours is faster by | peak RSS |"
        lines = [head, "|---|---|---|---|"]
        for case in dict.fromkeys(one["case"] for one in results if one["lengths"] == lengths):
            memory = next(one["peak_rss_mib"] for one in results if (one["lengths"], one["case"]) == (lengths, case))
            ratio = None if case.startswith("ours") else our_ratio(results, lengths, case)
            shown = f"{ratio:.1f}x" if ratio else ""
            rate = statistics.median(rates_of(results, lengths, case))
            lines.append(f"| {CASES[case]} | {rate:,.0f} | {shown} | {memory:,} MiB |".replace("|  |", "| |"))
        parts.append("\n".join(lines))
    versions = f"torch {machine['torch'].split('+')[0]}, TRL {machine['trl']}, PEFT {machine['peft']}"
    where = f"{machine['cpu']}, {machine['cores']} cores, {versions}, {record['date']}"
    return "\n\n".join([*parts, f"A decoder of 512 hidden units, 8 layers and 32,000 words; {where}."])


def machine() -> dict[str, Any]:
    model = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), platform.processor())
    packages = ("torch", "transformers", "peft", "trl")
    versions = {name: importlib.metadata.version(name) for name in packages}
    return {"cpu": model, "cores": os.cpu_count(), "system": platform.system(), "python": platform.python_version(), **versions}


def _lines(path: str) -> list[str]:
    return Path(path).read_text("utf-8").splitlines() if Path(path).is_file() else []


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default=",".join(CASES), help="comma list of %(default)s")
    parser.add_argument("--rounds", type=int, default=2, help="how often each case runs")
    parser.add_argument("--steps", type=int, default=8, help="timed steps of a case")
    parser.add_argument("--lengths", default="mix", help="mix, fixed or both: mix,fixed (default %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="one is steadier than two where cores are shared")
    parser.add_argument("--out", type=Path, help="JSON file for the results")
    parser.add_argument("--readme", type=Path, metavar="JSON", help="measure nothing: print the README's table of these results")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--model", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.cases, args.lengths = args.cases.split(","), args.lengths.split(",")
    for name, given, known in (("--cases", args.cases, tuple(CASES)), ("--lengths", args.lengths, ("mix", "fixed"))):
        if unknown := set(given) - set(known):
            parser.error(f"{name}: no such value: {', '.join(sorted(unknown))}; choose from {', '.join(known)}")
    return args


def main() -> None:
    args = parse()
    if args.case:
        warnings.simplefilter("ignore")
        (args.lengths,) = args.lengths
        print(json.dumps(run_case(args.case, args.model, args)))
        return
    if args.readme:
        print(readme(json.loads(args.readme.read_text("utf-8"))))
        return
    results = measure(args, say=lambda line: print(line, file=sys.stderr, flush=True))
    print(table(results))
    if args.out:
        settings = {"steps": args.steps, "threads": args.threads, "rank": workload.RANK, "dtype": "float32"}
        record = {"date": date.today().isoformat(), "machine": machine(), "settings": settings, "results": results}
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    if differing := disagreements(results):
        sys.exit("\n".join(differing))


if __name__ == "__main__":
    main()
