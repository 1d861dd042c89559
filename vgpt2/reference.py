"""The reference model as a column: what the starting weights gave each answer, computed once, before the first step.

The values lie beside the run in ref_logps.safetensors under a fingerprint of weights, rows and precision. A half-computed column goes on
where it stopped; one of other weights or rows is refused. No second model is ever in memory.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from vgpt2 import atomic
from vgpt2.losses.logps import sequence_logps
from vgpt2.model import CausalLM
from vgpt2.packing import cut, pack, stored_tokens

FILE = "ref_logps.safetensors"
SAVE_EVERY_S = 60.0
# |policy - reference| a scored token at step 0: both are the same weights, so only another packing's rounding may stand between them
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 2e-2}


def fingerprint(weights: str, examples: Sequence[Any], dtype: torch.dtype) -> str:
    """sha256 over the starting weights' own fingerprint, every answer's ids and mask (KTO's mismatched ones too), and the precision."""
    digest = hashlib.sha256(f"{weights}/{dtype}".encode())
    for answer in (answer for example in examples for answer in example.answers):
        input_ids, completion_mask = answer.sequence
        digest.update(len(input_ids).to_bytes(8, "little"))
        digest.update(input_ids.tobytes())
        digest.update(completion_mask.tobytes())
    return digest.hexdigest()


def weights_fingerprint(model: CausalLM) -> str:
    """sha256 over the trainable weights' names and bytes: with the frozen ones' file hashes, the starting policy."""
    digest = hashlib.sha256()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            digest.update(name.encode())
            digest.update(parameter.detach().cpu().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def attach(
    model: CausalLM,
    examples: Sequence[Any],
    folder: Path,
    *,
    key: str,
    budget: int,
    autocast: Callable[[], AbstractContextManager[Any]],
    check: Callable[[], None],
    progress: Callable[[int], object],
    may_compute: bool,
) -> list[Any]:
    """The examples with `ref_logps`, one number an answer, by the weights of `model` as they are.

    key: their fingerprint. budget: tokens of one forward. check() may raise to interrupt; what is done is saved first. progress(n) hears of
    n more answers. may_compute: False once training has begun, when the starting weights are gone. Raises ValueError for a column of
    other weights or rows, and for a missing or damaged one that can no longer be computed.
    """
    column = load(folder / FILE, key=key, rows=sum(len(example.answers) for example in examples))
    if column is None or bool(column.isnan().any()):
        if not may_compute:
            raise ValueError(
                f"{folder / FILE}: missing or damaged, and only the starting weights can compute it; start anew with --run NAME"
            )
        column = compute(model, examples, column, folder, key=key, budget=budget, autocast=autocast, check=check, progress=progress)
    values = iter(column.tolist())
    return [replace(example, ref_logps=tuple(next(values) for _ in example.answers)) for example in examples]


@torch.no_grad()
def compute(
    model: CausalLM,
    examples: Sequence[Any],
    column: Tensor | None,
    folder: Path,
    *,
    key: str,
    budget: int,
    autocast: Callable[[], AbstractContextManager[Any]],
    check: Callable[[], None],
    progress: Callable[[int], object],
) -> Tensor:
    """The whole column (A,), going on where `column` holds numbers; mode and random state of the model stay as they are."""
    ends = list(accumulate(len(example.answers) for example in examples))
    column = torch.full((ends[-1],), torch.nan, dtype=torch.float64) if column is None else column
    # the same cuts whether it goes on or starts: a sum's last bit may depend on its neighbours in a matmul
    sizes = [stored_tokens([answer.sequence for answer in example.answers]) for example in examples]
    plan = cut(range(len(examples)), sizes, max(budget, *sizes))  # without gradients there is room for an example above the budget
    device = next(model.parameters()).device
    was_training, saved_at = model.training, time.monotonic()
    model.eval()
    try:
        for rows in plan:  # examples in a row
            values = column[ends[rows[0]] - len(examples[rows[0]].answers) : ends[rows[-1]]]
            if not values.isnan().any():
                continue
            check()
            packed = pack([answer.sequence for i in rows for answer in examples[i].answers], share_prompts=True).to(device)
            with autocast():
                values.copy_(sequence_logps(model(packed), packed.cu_seqlens))
            progress(len(values))
            if time.monotonic() - saved_at > SAVE_EVERY_S:
                store(folder / FILE, column, key)
                saved_at = time.monotonic()
    finally:
        model.train(was_training)
        store(folder / FILE, column, key)
    return column


def store(path: Path, column: Tensor, key: str) -> None:
    values = column.numpy().tobytes()
    atomic.write_bytes(path, save({"ref_logps": column}, {"key": key, "sha256": hashlib.sha256(values).hexdigest()}))


def load(path: Path, *, key: str, rows: int) -> Tensor | None:
    """The stored column (rows,), NaN where not computed yet; None when there is none or its bytes are damaged."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            about, column = file.metadata() or {}, file.get_tensor("ref_logps")
    except (SafetensorError, OSError):
        return None
    if about.get("sha256") != hashlib.sha256(column.numpy().tobytes()).hexdigest():
        return None
    if about.get("key") != key or len(column) != rows:
        raise ValueError(f"{path}: belongs to other starting weights, rows, template or precision; start anew with --run NAME")
    return column


@torch.no_grad()
def largest_difference(model: CausalLM, examples: Sequence[Any], autocast: Callable[[], AbstractContextManager[Any]]) -> float:
    """max |policy - reference| a scored token over the answers of `examples`; what it must be at step 0: see TOLERANCE."""
    answers = [answer for example in examples for answer in example.answers]
    packed = pack([answer.sequence for answer in answers], share_prompts=True).to(next(model.parameters()).device)
    with autocast():
        policy_logps = sequence_logps(model(packed), packed.cu_seqlens).cpu()
    ref_logps = torch.tensor([value for example in examples for value in example.ref_logps], dtype=policy_logps.dtype)
    scored = torch.tensor([int(answer.completion_mask[1:].sum()) for answer in answers])
    return float(((policy_logps - ref_logps).abs() / scored).max())
