"""Training speed and memory on a CPU against public peers: equal weights, rows, rank, dtype and optimizer, no checkpointing.

    python benchmarks/cpu.py                                    # every stage, two rounds, about a quarter of an hour on one core
    python benchmarks/cpu.py --cases ours-sft,trl-sft --rounds 4 --out benchmarks/results/cpu.json

Model: Qwen2 shape, D=512, 8 layers, 8/2 heads, FFN 1,408, V=32,000 tied, random weights, fp32; LoRA r16 on all linear layers; AdamW.
Rows: lengths as in text-to-SQL sets (long uneven prompts, short answers). Rate: real tokens of the policy's rows a second of process time,
which other programs on the machine disturb little. Our reference pass is charged to the steps it serves. Each case runs in its own
process, cases take turns, and the first loss shows that both sides train on the same thing.
"""

import argparse
import importlib.metadata
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

CASES = ("ours-sft", "peft-sft", "trl-sft", "trl-sft-packed", "ours-dpo", "trl-dpo", "ours-kto", "trl-kto")


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
        for turn in range(args.rounds):
            for case in args.cases:
                command = [sys.executable, __file__, "--case", case, "--model", folder, *own_options(args)]
                environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": str(args.threads)}
                done = subprocess.run(command, capture_output=True, text=True, env=environment)
                if done.returncode:
                    sys.exit(f"{case}: exit {done.returncode}\n{done.stderr[-2000:]}")
                results.append({"case": case, "round": turn, **json.loads(done.stdout.splitlines()[-1])})
                say(json.dumps(results[-1]))
    return results


def own_options(args: argparse.Namespace) -> list[str]:
    return ["--steps", str(args.steps), "--lengths", args.lengths, "--threads", str(args.threads)]


def table(results: list[dict[str, Any]]) -> str:
    """One line a case: median rate with its range, the ratio to ours of the same stage, memory and first loss."""
    lines = [f"{'case':16} {'tok/CPU-s':>10} {'range':>17} {'ours is':>8} {'peak RSS':>9} {'first loss':>11}"]
    cases = list(dict.fromkeys(result["case"] for result in results))
    rates = {case: [r["tokens_per_cpu_s"] for r in results if r["case"] == case] for case in cases}
    for case in cases:
        one = next(result for result in results if result["case"] == case)
        ours = rates.get(f"ours-{case.split('-')[1]}")
        ratio = f"{statistics.median(ours) / statistics.median(rates[case]):.2f} x" if ours else ""
        spread = f"{min(rates[case]):.0f}-{max(rates[case]):.0f}"
        rate = statistics.median(rates[case])
        lines.append(f"{case:16} {rate:10.0f} {spread:>17} {ratio:>8} {one['peak_rss_mib']:5} MiB {one['first_loss']:11.4f}")
    return "\n".join(lines)


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
    parser.add_argument("--lengths", choices=("mix", "fixed"), default="mix")
    parser.add_argument("--threads", type=int, default=1, help="one is steadier than two where cores are shared")
    parser.add_argument("--out", type=Path, help="JSON file for the results")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--model", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.cases = args.cases.split(",")
    if unknown := set(args.cases) - set(CASES):
        parser.error(f"no such case: {', '.join(sorted(unknown))}; choose from {', '.join(CASES)}")
    return args


def main() -> None:
    args = parse()
    if args.case:
        warnings.simplefilter("ignore")
        print(json.dumps(run_case(args.case, args.model, args)))
        return
    results = measure(args, say=lambda line: print(line, file=sys.stderr, flush=True))
    print(table(results))
    if args.out:
        settings = {"steps": args.steps, "lengths": args.lengths, "threads": args.threads, "rank": workload.RANK, "dtype": "float32"}
        record = {"date": date.today().isoformat(), "machine": machine(), "settings": settings, "results": results}
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(record, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
