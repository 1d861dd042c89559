"""What this machine can do at most: measured matmul and copy rates, the ceilings that training speeds are compared with.

    python benchmarks/limit.py                                  # CUDA: the shapes of Qwen2.5-7B at 8,192 tokens
    python benchmarks/limit.py --device cpu --size tiny         # a trial anywhere
    python benchmarks/limit.py --out benchmarks/results/limit.json

A rate is the median of the runs after a warm-up, with its range. Matmuls: bf16 on CUDA, float32 on the CPU, forward's (T, in) @ (in, out).
Copies count each byte read and each byte written.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import torch

WARM_UPS, RUNS = 3, 10
# tokens; (in, out) of the layer's matrices and of the head
SHAPES = {
    "7b": (8192, {"q": (3584, 3584), "k": (3584, 512), "gate": (3584, 18944), "down": (18944, 3584), "head": (3584, 152064)}),
    "32b": (8192, {"q": (5120, 5120), "k": (5120, 1024), "gate": (5120, 27648), "down": (27648, 5120), "head": (5120, 152064)}),
    "tiny": (256, {"q": (128, 128), "k": (128, 64), "gate": (128, 384), "down": (384, 128), "head": (128, 2048)}),
}
COPY_BYTES = {"7b": 2 << 30, "32b": 2 << 30, "tiny": 64 << 20}


def seconds(run: Callable[[], object], device: torch.device) -> list[float]:
    """Seconds of each run after the warm-ups."""
    times = []
    for number in range(WARM_UPS + RUNS):
        _wait(device)
        began = time.perf_counter()
        run()
        _wait(device)
        if number >= WARM_UPS:
            times.append(time.perf_counter() - began)
    return times


def matmul_rate(tokens: int, shape: tuple[int, int], device: torch.device) -> dict[str, Any]:
    """TFLOP/s of (tokens, in) @ (in, out)."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    x = torch.randn(tokens, shape[0], device=device, dtype=dtype)
    weight = torch.randn(shape[1], shape[0], device=device, dtype=dtype)
    return rate(2e-12 * tokens * shape[0] * shape[1], seconds(lambda: x @ weight.t(), device), "TFLOP/s")


def copy_rate(size: int, device: torch.device) -> dict[str, Any]:
    """GB/s of a copy within the device's memory."""
    source = torch.empty(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return rate(2e-9 * size, seconds(lambda: target.copy_(source), device), "GB/s")


def host_rate(size: int, device: torch.device) -> dict[str, Any]:
    """GB/s from page-locked host memory to the card."""
    source = torch.empty(size, dtype=torch.uint8).pin_memory()
    target = torch.empty(size, dtype=torch.uint8, device=device)
    return rate(1e-9 * size, seconds(lambda: target.copy_(source, non_blocking=True), device), "GB/s")


def rate(work: float, times: list[float], unit: str) -> dict[str, Any]:
    rates = sorted(work / t for t in times)
    return {"median": round(statistics.median(rates), 3), "lowest": round(rates[0], 3), "highest": round(rates[-1], 3), "unit": unit}


def measure(size: str, device: torch.device) -> dict[str, dict[str, Any]]:
    """Every rate by name."""
    tokens, shapes = SHAPES[size]
    rates = {f"matmul {name} {tokens} x {shape[0]} x {shape[1]}": matmul_rate(tokens, shape, device) for name, shape in shapes.items()}
    rates["copy within memory"] = copy_rate(COPY_BYTES[size], device)
    if device.type == "cuda":
        rates["host to card"] = host_rate(COPY_BYTES[size], device)
    return rates


def ceiling_tflops(size: str, device: torch.device) -> float:
    """The best matmul rate: what MFU and HFU are shares of."""
    tokens, shapes = SHAPES[size]
    return max(float(matmul_rate(tokens, shapes[name], device)["median"]) for name in ("q", "gate", "down"))


def machine(device: torch.device) -> dict[str, Any]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "device": name,
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def versions(*packages: str) -> dict[str, str]:
    """Of those that are installed."""
    there = {distribution.name.lower() for distribution in importlib.metadata.distributions() if distribution.name}
    return {name: importlib.metadata.version(name) for name in packages if name in there}


def clocks() -> str | None:
    """Clocks, temperature and power of the first card as its driver says; None where there is no such program."""
    if (program := shutil.which("nvidia-smi")) is None:
        return None
    fields = "clocks.sm,clocks.mem,temperature.gpu,power.draw"
    told = subprocess.run([program, f"--query-gpu={fields}", "--format=csv,noheader", "--id=0"], capture_output=True, text=True)
    return told.stdout.strip() or None


def table(rates: dict[str, dict[str, Any]]) -> str:
    lines = [f"{'what':40} {'median':>10} {'range':>21}"]
    for name, one in rates.items():
        spread = f"{one['lowest']:.1f}-{one['highest']:.1f}"
        lines.append(f"{name:40} {one['median']:10.1f} {spread:>21} {one['unit']}")
    return "\n".join(lines)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto")
    parser.add_argument("--size", choices=tuple(SHAPES), default="7b")
    parser.add_argument("--out", type=Path, help="JSON file for the rates")
    args = parser.parse_args()
    device = torch.device("cuda" if args.device != "cpu" and torch.cuda.is_available() else "cpu")
    if args.device == "cuda" and device.type == "cpu":
        parser.error("--device cuda: torch sees no GPU; try --device cpu --size tiny")
    rates = measure(args.size, device)
    print(table(rates))
    if args.out:
        record = {"date": date.today().isoformat(), "machine": machine(device), "size": args.size, "rates": rates}
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(record, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
