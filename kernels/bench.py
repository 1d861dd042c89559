"""Times every kernel against its formula, eager and compiled, on a model's shapes; without CUDA, errors alone."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import statistics
import sys
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vgpt2 import atomic

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from kernels.bench_cases import Case, Operation
    from kernels.nf4 import NF4

EXAMPLES = """\
  python -m kernels.bench                    # on a CUDA machine: times, and benchmarks/results/kernels.json
  python -m kernels.bench --tokens 4096 --scored 512 --json small.json

Forms: eager and compiled are the formula under autograd; reference and triton the project's operation; bitsandbytes, where it is
installed, its own kernels on the same 4-bit matrix. One run is forward and backward.
A rate counts only the bytes or operations that cannot be avoided; its share is of a copy or a bf16 matmul measured in the same call.
A kernel stays where triton is faster than compiled by more than the spread of both.
"""
WARM_UPS, RUNS = 5, 30
FLUSH_BYTES = 256 << 20  # more than any card's cache, written between runs


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m kernels.bench", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokens", type=int, default=8192, help="tokens of the elementwise kernels (default 8192)")
    parser.add_argument("--scored", type=int, default=2048, help="scored positions of the head (default 2048)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go (default on CUDA: benchmarks/results/kernels.json)")
    options = parser.parse_args()
    if min(options.tokens, options.scored) < 1:
        parser.error("--tokens and --scored must be at least 1")
    has_cuda = _has_cuda()
    record = measure(options.tokens, options.scored) if has_cuda else errors_only()
    target = options.json or (Path("benchmarks/results/kernels.json") if has_cuda else None)
    if target:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            atomic.write_text(target, json.dumps(record, indent=1) + "\n")
        except OSError as error:
            sys.exit(f"{target}: cannot be written ({error.strerror}); name another file with --json")


def _has_cuda() -> bool:
    # chosen before any kernel is defined: without a card they run in Triton's interpreter
    import torch

    if not torch.cuda.is_available():
        os.environ["TRITON_INTERPRET"] = "1"
    return torch.cuda.is_available()


def errors_only() -> dict[str, Any]:
    """The table of errors on the CPU, Triton interpreted, at sizes that fit no tile."""
    import torch

    from kernels.bench_cases import ODD, cases
    from kernels.dispatch import has_triton

    forms = ("eager", "reference", "triton") if has_triton() else ("eager", "reference")
    how = "triton interpreted" if has_triton() else "triton is not installed"
    print(f"no CUDA device, so there is nothing to time; errors against fp64 at odd sizes follow ({how})")
    print(f"{'kernel':<14}{'dtype':<10}{'form':<13}{'value':>10}{'gradient':>10}")
    rows = []
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        torch.manual_seed(0)
        for case in cases(ODD, 5, 5, dtype, torch.device("cpu")):
            for form in forms:
                found, name = errors(case, form), str(dtype).removeprefix("torch.")
                rows.append({"kernel": case.kernel, "dtype": name, "form": form, **found})
                print(f"{case.kernel:<14}{name:<10}{form:<13}{_error(found['value_error'])}{_error(found['gradient_error'])}")
    return {"date": date.today().isoformat(), "machine": machine(), "rows": rows}


def measure(tokens: int, scored: int) -> dict[str, Any]:
    """Times, rates, memory and errors of every form on the card, in bf16."""
    import torch

    from kernels.bench_cases import QWEN_05B, QWEN_7B, cases

    device = torch.device("cuda")
    limits = ceilings(device)
    print(f"{torch.cuda.get_device_name()}: copy {limits['copy_gb_s']:,.0f} GB/s, bf16 matmul {limits['matmul_tflop_s']:,.0f} TFLOP/s")
    print(f"{'kernel':<14}{'shape':<42}{'form':<13}{'ms':>9}{'spread':>8}{'rate':>15}{'share':>7}{'MiB':>8}{'value':>10}{'gradient':>10}")
    rows = []
    for sizes in (QWEN_7B, QWEN_05B):
        small = cases(sizes, 256, 256, torch.bfloat16, device)
        for case, short in zip(cases(sizes, tokens, scored, torch.bfloat16, device), small):
            for form in ("eager", "compiled", "reference", "triton", *(("bitsandbytes",) if case.matrix and has_peer() else ())):
                timed = {"model": sizes.model, "kernel": case.kernel, "shape": case.shape, "form": form, **time_form(case, form, limits)}
                rows.append(timed | errors(short, form))
                print(_line(rows[-1]))
            torch._dynamo.reset()
    return {"date": date.today().isoformat(), "machine": machine(), "ceilings": limits, "tokens": tokens, "scored": scored, "rows": rows}


def time_form(case: Case, form: str, limits: dict[str, float]) -> dict[str, Any]:
    """Median and spread (10th to 90th percentile) in ms of a run, its rate, and the most memory it needs beyond its inputs."""
    import torch

    with chosen(case, form) as operation:
        with torch.no_grad():
            upstream = [torch.randn_like(y) for y in _tuple(case.formula(*case.inputs))]

        def run() -> None:
            outputs = _tuple(operation(*case.inputs))
            if case.inputs:
                torch.autograd.grad(outputs, case.inputs, upstream)

        times = time_ms(run)
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        peak = torch.cuda.max_memory_allocated() - before
    median, tenths = statistics.median(times), statistics.quantiles(times, n=10)
    if case.flops is None:
        rate, unit, ceiling = case.traffic / median / 1e6, "GB/s", limits["copy_gb_s"]
    else:
        rate, unit, ceiling = case.flops / median / 1e9, "TFLOP/s", limits["matmul_tflop_s"]
    return {
        "ms": round(median, 4), "spread_ms": round(tenths[-1] - tenths[0], 4), "rate": round(rate, 1), "unit": unit,
        "share_of_ceiling": round(rate / ceiling, 3), "peak_mib": round(peak / 2**20, 1),
    }  # fmt: skip


def time_ms(run: Callable[[], object]) -> list[float]:
    """Milliseconds of each of RUNS runs, by the card's own clock, the cache flushed between them."""
    import torch

    flush = torch.empty(FLUSH_BYTES, dtype=torch.uint8, device="cuda")
    events = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(WARM_UPS + RUNS)]
    for start, end in events:
        flush.zero_()
        start.record()
        run()
        end.record()
    torch.cuda.synchronize()
    return [start.elapsed_time(end) for start, end in events[WARM_UPS:]]


def ceilings(device: torch.device) -> dict[str, float]:
    """What the card reaches here: GB/s of a copy, read and written bytes counted, and TFLOP/s of a bf16 product of random 8,192-squares."""
    import torch

    source = torch.randn(1 << 28, device=device)
    target = torch.empty_like(source)
    a, b = torch.randn(2, 8192, 8192, dtype=torch.bfloat16, device=device)
    copy, product = statistics.median(time_ms(lambda: target.copy_(source))), statistics.median(time_ms(lambda: a @ b))
    return {"copy_gb_s": round(2 * source.nbytes / copy / 1e6, 1), "matmul_tflop_s": round(2 * 8192**3 / product / 1e9, 1)}


def errors(case: Case, form: str) -> dict[str, float | None]:
    """Largest error of values and of gradients, relative to the largest number of the exact tensor."""
    import torch

    exact = _results(case.exact or case.formula, [tensor.detach().double() for tensor in case.inputs])
    with chosen(case, form) as operation:
        ours = _results(operation, [tensor.detach().clone() for tensor in case.inputs])
    found = [((one.double() - other).abs().max() / other.abs().max()).item() for one, other in zip(ours, exact, strict=True)]
    values = len(found) - len(case.inputs)
    assert all(torch.isfinite(tensor).all() for tensor in ours), f"{case.kernel}, {form}: a result is not finite"
    return {"value_error": max(found[:values]), "gradient_error": max(found[values:], default=None)}


def _results(operation: Operation, leaves: list[Tensor]) -> list[Tensor]:
    """Outputs and the gradients of all inputs, every element of the outputs having another factor."""
    import torch

    leaves = [leaf.requires_grad_() for leaf in leaves]
    outputs = _tuple(operation(*leaves))
    upstream = [torch.arange(1, 1 + y.numel(), device=y.device).sin().view(y.shape).bfloat16().to(y.dtype) for y in outputs]
    return [y.detach().clone() for y in outputs] + (list(torch.autograd.grad(outputs, leaves, upstream)) if leaves else [])


@contextlib.contextmanager
def chosen(case: Case, form: str) -> Iterator[Operation]:
    """The callable of a form, while the dispatch is set to it."""
    import torch

    from kernels.dispatch import VARIABLE

    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = "triton" if form == "triton" else "reference"
    try:
        if form == "bitsandbytes":
            yield by_bitsandbytes(case.matrix)
        else:
            yield {"eager": case.formula, "compiled": torch.compile(case.formula, dynamic=False)}.get(form, case.operation)
    finally:
        os.environ.pop(VARIABLE)
        if before is not None:
            os.environ[VARIABLE] = before


def has_peer() -> bool:
    return importlib.util.find_spec("bitsandbytes") is not None


def by_bitsandbytes(weight: NF4 | None) -> Operation:
    """Its own kernels on the same bytes, into bf16; as a vector, because on the CPU it starts a block at every row of a matrix."""
    import torch

    from kernels.nf4 import SCALE_BLOCK
    from vgpt2.qlora import bitsandbytes_functional

    assert weight is not None  # asked for where there is one
    functional, shape = bitsandbytes_functional(), weight.shape
    nested = functional.QuantState(weight.scale_scales, code=weight.scale_codebook, blocksize=SCALE_BLOCK, dtype=torch.float32)
    count = torch.Size([shape[0] * shape[1]])
    state = functional.QuantState(weight.scales, count, None, weight.block, "nf4", torch.bfloat16, weight.offset, nested)
    buffer = torch.empty(count, dtype=torch.bfloat16, device=weight.codes.device) if weight.codes.is_cuda else None
    return lambda: functional.dequantize_4bit(weight.codes.view(-1, 1), state, out=buffer).view(shape)


def machine() -> dict[str, str]:
    import platform

    import torch

    from kernels.dispatch import has_triton

    found = {"system": platform.system(), "python": platform.python_version(), "torch": torch.__version__}
    if has_triton():
        import importlib.metadata

        found["triton"] = importlib.metadata.version("triton")
    return {"gpu": torch.cuda.get_device_name(), **found} if torch.cuda.is_available() else found


def _tuple(outputs: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


def _line(row: dict[str, Any]) -> str:
    rate = f"{row['rate']:,.1f} {row['unit']}"
    return (
        f"{row['kernel']:<14}{row['model'] + ' ' + row['shape']:<42}{row['form']:<13}{row['ms']:>9.3f}{row['spread_ms']:>8.3f}{rate:>15}"
        f"{row['share_of_ceiling']:>7.0%}{row['peak_mib']:>8,.0f}{_error(row['value_error'])}{_error(row['gradient_error'])}"
    )


def _error(value: float | None) -> str:
    return f"{'-':>10}" if value is None else f"{value:>10.1e}"


if __name__ == "__main__":
    main()
