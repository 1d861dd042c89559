"""From logits to tokens: likeliest or drawn, with a penalty on repetition where one is asked for. Pure functions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Draw:
    """How the next token of a row is chosen; `uniform` in [0, 1) picks from the distribution, None takes the likeliest."""

    uniform: float | None
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int | None = None


def choose(logits: Tensor, draws: Sequence[Draw]) -> list[int]:
    """A token id for each row of logits (rows, V) fp32, by inverse transform over the row's kept tokens, likeliest first.

    Kept are the top_k likeliest tokens and of these the fewest whose probabilities reach top_p (nucleus sampling: Holtzman et al. 2020,
    arXiv:1904.09751v2, Eq. 2-3).
    """
    if all(draw.uniform is None for draw in draws):
        return list(logits.argmax(-1).tolist())  # sync
    columns = [(draw.uniform or 0.0, draw.temperature, draw.top_p, draw.top_k or logits.shape[1]) for draw in draws]
    uniform, temperature, top_p, top_k = torch.tensor(columns, dtype=torch.float64).to(logits.device, logits.dtype).T[:, :, None]
    ordered, order = logits.sort(dim=-1, descending=True, stable=True)  # (rows, V)
    rank = torch.arange(logits.shape[1], device=logits.device)
    below_best = (ordered - ordered[:, :1]) / temperature  # the likeliest stays finite at any temperature
    probabilities = below_best.masked_fill(rank >= top_k, -torch.inf).softmax(-1)
    before = probabilities.cumsum(-1) - probabilities
    kept = probabilities.masked_fill((before >= top_p) & (rank > 0), 0.0).cumsum(-1)
    total = kept[:, -1:]
    place = ((kept <= uniform * total) & (kept < total)).sum(-1, keepdim=True)  # never behind the last kept token
    place.masked_fill_(torch.tensor([[draw.uniform is None] for draw in draws], device=logits.device), 0)
    return list(order.gather(-1, place)[:, 0].tolist())  # sync


def penalised(logits: Tensor, seen: Sequence[Collection[int]], penalties: Sequence[float]) -> Tensor:
    """The logits (rows, V) with those of the tokens that a row has `seen` divided by its penalty where positive, else multiplied.

    Keskar et al. 2019, arXiv:1909.05858v2, section 4.1, which divides in both cases; negative logits would then gain. 1 is off.
    SQL repeats itself by rule: the same table before every column, WITH (NOLOCK) behind each one, the same key on both sides of a join.
    A penalty drives a model to other names there, so it is for prose only.
    """
    if all(penalty == 1 for penalty in penalties):
        return logits
    changed = logits.clone()
    for row, (ids, penalty) in enumerate(zip(seen, penalties)):
        if penalty != 1:
            places = torch.tensor(sorted(ids), device=logits.device)
            values = logits[row, places]
            changed[row, places] = torch.where(values > 0, values / penalty, values * penalty)
    return changed


def logps_of(logits: Tensor, chosen: Sequence[int]) -> list[float]:
    """log softmax(logits)[chosen] of each row of logits (rows, V): what the model itself gives to the tokens."""
    picked = logits.gather(-1, torch.tensor(chosen, device=logits.device)[:, None])[:, 0]
    return list((picked - logits.logsumexp(-1)).tolist())  # sync
