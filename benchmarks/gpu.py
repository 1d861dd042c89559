"""Training speed and memory on a GPU under one cap, ours and the public peers in turns: the cases S1-S3, P1, P2, Q1, Q2 and F1.

    python benchmarks/gpu.py --cap-gib 46.5 --out benchmarks/results/gpu.json     # every case, side and setting, two rounds
    python benchmarks/gpu.py --cases S1,P1 --sides ours,trl-packed --settings same --rounds 1
    python benchmarks/gpu.py --device cpu --size tiny --cases S1,P1 --sides ours,hf --steps 2   # a trial anywhere

S1, S2: SFT of Qwen2.5-7B, LoRA r128, 4,096 tokens, full and mixed rows; S3: r256, 8,192. P1: DPO, P2: KTO, 2,048, mixed rows, P1F and P2F
full ones. Q1: 32B in NF4, r128; Q2: 14B, whose folder is small enough for a peer that loads from one. F1: every weight of 7B. Random
weights, equal on all sides. Each run has its own process. Settings: `same`, a step in one micro-batch with every layer recomputed, and
`best`, the fastest of those that may be a side's best; of ours what the memory plan chooses. tokens_per_s counts real tokens of the
policy's rows (chosen and rejected) and charges our reference pass; a CPU is timed by process time. Shares are of the best matmul measured
in the same call and count the policy's forward and backward alone. valid: training happened, no loss is NaN, the cap held. same loss: the
last one is that of a side with the same rows, of which ours counts on a difference below 0.02. A side that is not installed says so.
"""

import argparse
import importlib
import json
import math
import os
import statistics
import subprocess
import sys
import warnings
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import limit
import torch
from gpu_cases import CASES, SIDES, SIZES, Case, Setting, missing, settings_of

GIB = 2**30
PEERS = ("transformers", "trl", "peft", "bitsandbytes", "liger-kernel", "unsloth", "triton")
SAME_LOSS = 0.02  # of losses after as many steps on the same rows, in bf16


def run_one(case_name: str, side: str, args: argparse.Namespace) -> dict[str, Any]:
    """One case on one side in this process, with what makes its figures valid."""
    case, device, setting = case_of(case_name, args), device_of(args), Setting(args.rows, args.checkpointing)
    if device.type == "cuda" and args.cap_gib:
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, args.cap_gib * GIB / total), device)
    timed: dict[str, Any] = {"steps": args.steps, "warm_up": args.warm_up}
    if side.startswith("ours"):
        import gpu_ours

        result = gpu_ours.run(case, setting, device, **timed, cap_gib=args.cap_gib or None, offload=side.endswith("offload"))
    else:
        if side == "unsloth":
            importlib.import_module("unsloth")  # before transformers, which it changes
        import gpu_peers

        result = gpu_peers.run(case, side, setting, device, **timed, attn=attention_of(side, device, args))
    if device.type == "cuda":
        result["peak_gib"] = round(torch.cuda.max_memory_allocated(device) / GIB, 2)
        result["reserved_gib"] = round(torch.cuda.max_memory_reserved(device) / GIB, 2)
    cap_held = not args.cap_gib or result.get("reserved_gib", 0.0) <= args.cap_gib + 0.01
    finite = math.isfinite(result["loss_first"]) and math.isfinite(result["loss_last"])
    return result | {"cap_held": cap_held, "valid": bool(result["trained"] and finite and cap_held)}


def case_of(name: str, args: argparse.Namespace) -> Case:
    return CASES[name].scaled() if args.size == "tiny" else CASES[name]


def attention_of(side: str, device: torch.device, args: argparse.Namespace) -> str:
    """Packed rows under sdpa would pay for a dense mask; flex_attention has no backward on the CPU."""
    if args.attn != "auto":
        return str(args.attn)
    return "flex_attention" if "packed" in side and device.type == "cuda" else "sdpa"


def measure(args: argparse.Namespace, keep: Callable[[list[dict[str, Any]]], None]) -> list[dict[str, Any]]:
    """Every case, its sides in turns: A B A B. A side that fails leaves its reason; of the best settings the fastest runs again."""
    results: list[dict[str, Any]] = []
    for name in args.cases:
        case = case_of(name, args)
        for turn in range(args.rounds):
            for side, kind in ((side, kind) for side in case.sides if side in args.sides for kind in args.settings):
                named = {"case": name, "side": side, "kind": kind, "round": turn}
                if reason := missing(case, side):
                    made = [named | {"error": f"skipped: {reason}"}] if not turn else []
                else:
                    settings = settings_of(case, side, kind)
                    wanted = settings if not turn else fastest(results, named, settings)
                    made = [named | {"setting": str(setting)} | run_apart(name, side, setting, args) for setting in wanted]
                for one in made:
                    results.append(one)
                    print(json.dumps(one), file=sys.stderr, flush=True)
                    keep(results)
    return results


def run_apart(case: str, side: str, setting: Setting, args: argparse.Namespace) -> dict[str, Any]:
    """A run in a process of its own: its figures, or its last words."""
    options = {"steps": args.steps, "warm-up": args.warm_up, "cap-gib": args.cap_gib, "device": args.device, "size": args.size}
    options |= {"case": case, "side": side, "rows": setting.rows, "attn": args.attn}
    command = [sys.executable, __file__, *(part for name, value in options.items() for part in (f"--{name}", str(value)))]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "UNSLOTH_DISABLE_STATISTICS": "1"}
    environment.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
    done = subprocess.run([*command, *(["--checkpointing"] * setting.checkpointing)], capture_output=True, text=True, env=environment)
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1][:300]}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def fastest(results: list[dict[str, Any]], named: dict[str, Any], settings: list[Setting]) -> list[Setting]:
    """Of what was tried in the first round; none where nothing was valid."""
    tried = [one for one in results if all(one[key] == named[key] for key in ("case", "side", "kind")) and one.get("valid")]
    best = max(tried, key=lambda one: one["tokens_per_s"], default=None)
    return [setting for setting in settings if best and str(setting) == best["setting"]]


def table(results: list[dict[str, Any]], ceiling: float) -> str:
    """One line a case, side and kind of setting: median rate with its range, our ratio to it, shares of the ceiling, memory, loss."""
    head = (
        f"{'case':5} {'side':17} {'setting':12} {'tok/s':>9} {'range':>17} {'ours is':>8} {'MFU':>6} {'HFU':>6} {'GiB':>6} {'plan':>6} "
        f"{'loss':>15} {'same loss':9} valid"
    )
    lines = [head]
    for case, side, kind in dict.fromkeys((one["case"], one["side"], one["kind"]) for one in results):
        runs = counted(results, case, side, kind)
        if not runs:
            reasons = [one["error"] for one in results if (one["case"], one["side"], one["kind"]) == (case, side, kind) and "error" in one]
            lines.append(f"{case:5} {side:17} {kind:12} {(reasons or ['no valid run'])[0][:100]}")
            continue
        rates = [one["tokens_per_s"] for one in runs]
        ours = [one["tokens_per_s"] for one in counted(results, case, "ours", kind)]
        ratio = f"{statistics.median(ours) / statistics.median(rates):.2f} x" if ours else ""
        one = runs[0]
        shares = [f"{one[key] / ceiling:.1%}" if key in one else "" for key in ("useful_tflops", "hardware_tflops")]
        losses, spread = f"{one['loss_first']:.3f}-{one['loss_last']:.3f}", f"{min(rates):.0f}-{max(rates):.0f}"
        lines.append(
            f"{case:5} {side:17} {kind + ' ' + one['setting']:12} {statistics.median(rates):9.0f} {spread:>17} {ratio:>8} {shares[0]:>6} "
            f"{shares[1]:>6} {one.get('peak_gib', ''):>6} {one.get('planned_gib', ''):>6} {losses:>15} "
            f"{agreement(results, case, one):9} {all(one['valid'] for one in runs)}"
        )
    return "\n".join(lines)


def counted(results: list[dict[str, Any]], case: str, side: str, kind: str) -> list[dict[str, Any]]:
    """The runs of the setting that counts: the fastest valid one, or what ran at all where none is valid."""
    runs = [one for one in results if (one["case"], one["side"], one["kind"]) == (case, side, kind) and "error" not in one]
    best = max(runs, key=lambda one: (one["valid"], one["tokens_per_s"]), default=None)
    return [one for one in runs if best and one["setting"] == best["setting"]]


def agreement(results: list[dict[str, Any]], case: str, one: dict[str, Any]) -> str:
    """Whether the last loss is ours, of a side that trained on the same rows; of mixed lengths packed sides put others into a step."""
    ours = next((o for o in results if o["case"] == case and o["side"] == "ours" and "error" not in o), None)
    packs = "packed" in one["side"] or one["side"] == "unsloth"
    if ours is None or one["side"].startswith("ours") or (packs and CASES[case].lengths == "mix"):
        return ""
    return "yes" if abs(ours["loss_last"] - one["loss_last"]) < SAME_LOSS else "NO"


def device_of(args: argparse.Namespace) -> torch.device:
    return torch.device("cuda" if args.device != "cpu" and torch.cuda.is_available() else "cpu")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default=",".join(CASES), help="comma list of %(default)s")
    parser.add_argument("--sides", default=",".join(SIDES), help="comma list of %(default)s")
    parser.add_argument("--settings", default="same,best", help="comma list of %(default)s")
    parser.add_argument("--rounds", type=int, default=2, help="how often each case and side runs")
    parser.add_argument("--steps", type=int, default=8, help="timed steps of a run")
    parser.add_argument("--warm-up", type=int, default=2, help="steps before the clock starts")
    parser.add_argument("--cap-gib", type=float, default=46.5, help="memory for tensors, of any card (default %(default)s); 0: all")
    parser.add_argument("--attn", default="auto", help="attention of transformers: sdpa, eager, flash_attention_2; auto: flex where packed")
    parser.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto")
    parser.add_argument("--size", choices=("full", "tiny"), default="full", help="tiny: each case on a tiny model, for a trial")
    parser.add_argument("--out", type=Path, help="JSON file for the results, written anew after each run")
    parser.add_argument("--case", choices=tuple(CASES), help=argparse.SUPPRESS)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--checkpointing", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    for name, known in (("cases", tuple(CASES)), ("sides", SIDES), ("settings", ("same", "best"))):
        setattr(args, name, getattr(args, name).split(","))
        if unknown := set(getattr(args, name)) - set(known):
            parser.error(f"--{name}: no such {name[:-1]}: {', '.join(sorted(unknown))}; choose from {', '.join(known)}")
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
    if device.type == "cuda":
        torch.cuda.empty_cache()  # the card belongs to the runs
    settings = {"steps": args.steps, "warm_up": args.warm_up, "cap_gib": args.cap_gib, "size": args.size, "models": sorted(SIZES)}
    record = {"date": date.today().isoformat(), "machine": limit.machine(device), "versions": limit.versions(*PEERS), "settings": settings}
    record |= {"ceiling_tflops": ceiling, "clocks": [limit.clocks()]}

    def keep(results: list[dict[str, Any]]) -> None:
        if args.out:
            args.out.parent.mkdir(parents=True, exist_ok=True)
            whole = record | {"clocks": [*record["clocks"], limit.clocks()], "results": results}
            args.out.write_text(json.dumps(whole, indent=1) + "\n", "utf-8")

    results = measure(args, keep)
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    print(f"{record['machine']['device']}, torch {torch.__version__}, {versions}, {record['date']}; best matmul: {ceiling:.1f} TFLOP/s")
    print(f"clocks, memory, temperature, power: {record['clocks'][0]} before, {limit.clocks()} after")
    print(table(results, ceiling))


if __name__ == "__main__":
    main()
