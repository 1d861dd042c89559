"""Training speed and memory on a GPU under one cap, ours and the public peers in turns: the cases S1-S3, P1, P2, Q1 and F1.

    python benchmarks/gpu.py --cap-gib 46.5 --out benchmarks/results/gpu.json     # every case, two rounds
    python benchmarks/gpu.py --cases S1,P1 --rounds 1
    python benchmarks/gpu.py --device cpu --size tiny --cases S1,P1 --sides ours --steps 2   # a trial anywhere

S1, S2: SFT of Qwen2.5-7B, LoRA r128, 4,096 tokens, full and mixed rows; S3: r256, 8,192. P1: DPO, P2: KTO, 2,048. Q1: 32B in NF4, r128.
F1: every weight of 7B. Random weights, equal on both sides. Each case and side runs in its own process. tokens_per_s counts real tokens of
the policy's rows (chosen and rejected) and charges our reference pass; a CPU is timed by process time. Shares are of the best matmul
measured in the same call; valid: training happened, no loss is NaN, the cap held. Q1 has no peer here.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import warnings
from datetime import date
from pathlib import Path
from typing import Any

import limit
import torch
from gpu_cases import CASES, SIZES

GIB = 2**30


def run_one(case_name: str, side: str, args: argparse.Namespace) -> dict[str, Any]:
    """One case on one side in this process, with what makes its figures valid."""
    case, device = CASES[case_name], device_of(args)
    case = case.scaled() if args.size == "tiny" else case
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, args.cap_gib * GIB / total), device)
    if side == "ours":
        import gpu_ours

        result = gpu_ours.run(case, device, steps=args.steps, warm_up=args.warm_up, cap_gib=args.cap_gib)
    else:
        import gpu_peers

        result = gpu_peers.run(case, device, steps=args.steps, warm_up=args.warm_up, packing=side.endswith("packed"))
    if device.type == "cuda":
        result["peak_gib"] = round(torch.cuda.max_memory_allocated(device) / GIB, 2)
        result["reserved_gib"] = round(torch.cuda.max_memory_reserved(device) / GIB, 2)
    cap_held = result.get("reserved_gib", 0.0) <= args.cap_gib + 0.01
    finite = math.isfinite(result["loss_first"]) and math.isfinite(result["loss_last"])
    return result | {"cap_held": cap_held, "valid": bool(result["trained"] and finite and cap_held)}


def measure(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Every case, its sides in turns: A B A B. A side that fails leaves its reason."""
    results = []
    for case in args.cases:
        sides = [side for side in ("ours", *CASES[case].peers) if side in args.sides]
        for turn in range(args.rounds):
            for side in sides:
                command = [sys.executable, __file__, "--case", case, "--side", side, *own_options(args)]
                environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
                done = subprocess.run(command, capture_output=True, text=True, env=environment)
                lines = done.stdout.splitlines()
                found = json.loads(lines[-1]) if not done.returncode else {"error": (done.stderr.strip().splitlines() or ["?"])[-1][-300:]}
                results.append({"case": case, "side": side, "round": turn, **found})
                print(json.dumps(results[-1]), file=sys.stderr, flush=True)
    return results


def own_options(args: argparse.Namespace) -> list[str]:
    options = {"steps": args.steps, "warm-up": args.warm_up, "cap-gib": args.cap_gib, "device": args.device, "size": args.size}
    return [part for name, value in options.items() for part in (f"--{name}", str(value))]


def table(results: list[dict[str, Any]], ceiling: float) -> str:
    """One line a case and side: median rate with its range, our ratio to it, shares of the ceiling, memory, loss, validity."""
    head = (
        f"{'case':5} {'side':11} {'tok/s':>9} {'range':>17} {'ours is':>8} {'MFU':>6} {'HFU':>6} {'GiB':>6} {'plan':>6} {'loss':>15} valid"
    )
    lines = [head]
    for case, side in dict.fromkeys((result["case"], result["side"]) for result in results):
        runs = [result for result in results if (result["case"], result["side"]) == (case, side)]
        if errors := [result["error"] for result in runs if "error" in result]:
            lines.append(f"{case:5} {side:11} {errors[0][:100]}")
            continue
        rates = [one["tokens_per_s"] for one in runs]
        ours = [r["tokens_per_s"] for r in results if r["case"] == case and r["side"] == "ours" and "error" not in r]
        ratio = f"{statistics.median(ours) / statistics.median(rates):.2f} x" if ours else ""
        one = runs[0]
        shares = [f"{one[key] / ceiling:.1%}" if key in one else "" for key in ("useful_tflops", "hardware_tflops")]
        losses, spread = f"{one['loss_first']:.3f}-{one['loss_last']:.3f}", f"{min(rates):.0f}-{max(rates):.0f}"
        lines.append(
            f"{case:5} {side:11} {statistics.median(rates):9.0f} {spread:>17} {ratio:>8} {shares[0]:>6} {shares[1]:>6} "
            f"{one.get('peak_gib', ''):>6} {one.get('planned_gib', ''):>6} {losses:>15} {all(r['valid'] for r in runs)}"
        )
    return "\n".join(lines)


def device_of(args: argparse.Namespace) -> torch.device:
    return torch.device("cuda" if args.device != "cpu" and torch.cuda.is_available() else "cpu")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default=",".join(CASES), help="comma list of %(default)s")
    parser.add_argument("--sides", default="ours,trl,trl-packed", help="comma list of %(default)s")
    parser.add_argument("--rounds", type=int, default=2, help="how often each case and side runs")
    parser.add_argument("--steps", type=int, default=8, help="timed steps of a run")
    parser.add_argument("--warm-up", type=int, default=2, help="steps before the clock starts")
    parser.add_argument("--cap-gib", type=float, default=46.5, help="memory for tensors, of any card (default %(default)s)")
    parser.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto")
    parser.add_argument("--size", choices=("full", "tiny"), default="full", help="tiny: each case on a tiny model, for a trial")
    parser.add_argument("--out", type=Path, help="JSON file for the results")
    parser.add_argument("--case", choices=tuple(CASES), help=argparse.SUPPRESS)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.cases, args.sides = args.cases.split(","), args.sides.split(",")
    if unknown := set(args.cases) - set(CASES):
        parser.error(f"no such case: {', '.join(sorted(unknown))}; choose from {', '.join(CASES)}")
    if device_of(args).type == "cpu" and args.size != "tiny":
        parser.error("no GPU here, or --device cpu: a CPU takes --size tiny only")
    return args


def main() -> None:
    args = parse()
    if args.case:
        warnings.simplefilter("ignore")
        print(json.dumps(run_one(args.case, args.side, args)))
        return
    device = device_of(args)
    ceiling = limit.ceiling_tflops("tiny" if args.size == "tiny" else "7b", device)
    results = measure(args)
    print(f"best matmul: {ceiling:.1f} TFLOP/s\n{table(results, ceiling)}")
    if args.out:
        settings = {"steps": args.steps, "warm_up": args.warm_up, "cap_gib": args.cap_gib, "size": args.size, "models": sorted(SIZES)}
        record = {"date": date.today().isoformat(), "machine": limit.machine(device), "ceiling_tflops": ceiling, "settings": settings}
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(record | {"results": results}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
