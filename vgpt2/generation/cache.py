"""Keys and values of the rows that are being answered; what a prompt has in common with an earlier one is copied, not computed.

A row keeps the keys and values of its prompt until another prompt takes its place, also when its answer is finished. So a system prompt
and a schema that many questions share are computed once, however many groups of them there are, and no memory is set aside for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from vgpt2.attention import Attend, attend_by_sequence, varlen_flash
from vgpt2.model import CausalLM
from vgpt2.model_config import ModelConfig

MIN_REACH = 16  # tokens in common that are worth a copy
NOTHING = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Arrival:
    """A prompt about to be computed, but for its first `reach` tokens: their keys and values lie in the row `source`."""

    tokens: np.ndarray  # (t,) int64, the prompt and what is guessed to follow it
    guessed: int
    source: int
    reach: int

    @property
    def own(self) -> int:
        """Tokens to compute."""
        return len(self.tokens) - self.reach


class KVCache:
    """Keys and values of the live rows, which are always the first ones; a row is a sequence of at most `width` tokens."""

    def __init__(self, cfg: ModelConfig, *, rows: int, width: int, like: Tensor) -> None:
        """Room for rows x width tokens in the dtype and on the device of `like`."""
        shape = (cfg.num_hidden_layers, rows, cfg.num_key_value_heads, width, cfg.head_dim)
        # zeros, not empty: what is masked still takes part in 0 x value, and memory never written could hold NaN
        self.keys = torch.zeros(shape, dtype=like.dtype, device=like.device)
        self.values = torch.zeros_like(self.keys)
        self.groups = cfg.num_attention_heads // cfg.num_key_value_heads
        self.lengths: list[int] = []  # of the live rows
        self._held = [NOTHING] * rows  # the prompt that each row holds, live or not
        self._arrivals: list[Arrival] = []

    @property
    def _both(self) -> tuple[Tensor, Tensor]:
        return self.keys, self.values

    @property
    def rows(self) -> int:
        return self.keys.shape[1]

    @property
    def width(self) -> int:
        return self.keys.shape[3]

    @property
    def free_rows(self) -> int:
        return self.rows - len(self.lengths) - len(self._arrivals)

    def add(self, prompt: Sequence[int], guess: Sequence[int] = ()) -> int:
        """Takes a free row for a prompt, which the next `step` computes, and a guess behind it; how many tokens that has to compute."""
        ids = np.asarray(prompt, dtype=np.int64)
        source, reach = self._longest_beginning(ids)
        arrival = Arrival(np.concatenate((ids, np.asarray(guess, dtype=np.int64))), len(guess), source, reach)
        # Rows are written in this order within every layer, so a later arrival finds what this one leaves.
        self._held[len(self.lengths) + len(self._arrivals)] = ids
        self._arrivals.append(arrival)
        return arrival.own

    def step(self, model: CausalLM, runs: Sequence[Sequence[int]]) -> Tensor:
        """Adds a run of tokens to every live row, and the prompts that were added as new live rows, all in one forward.

        Hidden states (T', D) of every token of the runs, row after row, then of each prompt's last token and the guesses behind it. A row
        grows by the first token of its run, where it has one, a new row by its prompt; `keep` makes it grow by the guesses.
        """
        arrivals, self._arrivals = self._arrivals, []
        device = self.keys.device
        old = [(np.asarray(run, dtype=np.int64), length + np.arange(len(run))) for run, length in zip(runs, self.lengths)]
        new = [(arrival.tokens[arrival.reach :], np.arange(arrival.reach, len(arrival.tokens))) for arrival in arrivals]
        ids, positions = (torch.from_numpy(np.concatenate(parts)).to(device) for parts in zip(*old, *new))
        running = sum(map(len, runs))
        parts = [(self._attend_live(runs, positions[:running]), running)] if running else []
        parts += [(self._attend_arrivals(arrivals), len(ids) - running)] if arrivals else []
        hidden = model.hidden(ids, positions, side_by_side(parts))
        self.lengths = [length + min(len(run), 1) for length, run in zip(self.lengths, runs)]
        self.lengths += [len(arrival.tokens) - arrival.guessed for arrival in arrivals]
        if not arrivals:
            return hidden
        ends = running + np.cumsum([arrival.own for arrival in arrivals])
        wanted = [np.arange(running), *(np.arange(end - 1 - arrival.guessed, end) for arrival, end in zip(arrivals, ends))]
        return hidden[torch.from_numpy(np.concatenate(wanted)).to(device)]

    def keep(self, row: int) -> None:
        """The next guessed token belongs to the row; what is not kept is overwritten by the next run."""
        self.lengths[row] += 1

    def drop(self, row: int) -> None:
        """Forgets a live row; the last live row takes its place."""
        length = self.lengths[row] = self.lengths[-1]
        end = len(self.lengths) - 1
        if row != end:
            for cached in self._both:
                cached[:, row, :, :length] = cached[:, end, :, :length]
            self._held[row] = self._held[end]
        self.lengths.pop()

    def _longest_beginning(self, ids: np.ndarray) -> tuple[int, int]:
        """The row that holds most of the prompt's beginning and how many tokens that is: 0, or MIN_REACH and more.

        The last token never counts: what it predicts is the answer's first token, so it is computed in any case.
        """
        source, reach = 0, 0
        for row, held in enumerate(self._held if len(ids) > MIN_REACH else ()):
            common = min(common_prefix(ids, held), len(ids) - 1)
            if common > reach:
                source, reach = row, common
                if reach == len(ids) - 1:
                    break
        return (source, reach) if reach >= MIN_REACH else (0, 0)

    def _attend_live(self, runs: Sequence[Sequence[int]], positions: Tensor) -> Attend:
        rows = torch.tensor([row for row, run in enumerate(runs) for _ in run], device=positions.device)
        places = torch.tensor([place for run in runs for place in range(len(run))], device=positions.device)
        width = max(length + len(run) for length, run in zip(self.lengths, runs))
        return self.attend_runs(rows, places, positions, (len(runs), max(map(len, runs)), width))

    def attend_runs(self, rows: Tensor, places: Tensor, positions: Tensor, sizes: tuple[int, int, int]) -> Attend:
        """Attention of new tokens, each over its row's cached tokens up to itself.

        rows, places, positions (T,): the row of each token, its place in the row's run, and its place in the row. sizes: rows N, tokens
        of the longest run M, and tokens W of a row that are looked at. Runs shorter than M are filled up for the attention alone.
        """
        n, m, width = sizes
        is_even = len(rows) == n * m
        last = positions.new_zeros(n, m)
        last[rows, places] = positions
        # the query heads of one key head stand where queries of one sequence would (m places each): no key is repeated
        bias = self.keys.new_zeros(n, 1, 1, m, width)
        bias.masked_fill_(torch.arange(width, device=positions.device) > last[:, None, None, :, None], -torch.inf)
        mask = bias.expand(-1, 1, self.groups, -1, -1).flatten(2, 3)  # (N, 1, H/K M, W)

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys, values = self.keys[layer], self.values[layer]
            keys[rows, :, positions] = k
            values[rows, :, positions] = v
            runs = q.unflatten(0, (n, m)) if is_even else q.new_zeros(n, m, *q.shape[1:]).index_put_((rows, places), q)
            queries = runs.unflatten(2, (k.shape[1], -1)).permute(0, 2, 3, 1, 4)  # (N, K, H/K, M, Dh)
            out = scaled_dot_product_attention(queries.flatten(2, 3), keys[:n, :, :width], values[:n, :, :width], attn_mask=mask)
            out = out.unflatten(2, queries.shape[2:4]).permute(0, 3, 1, 2, 4).flatten(2, 3)  # (N, M, H, Dh)
            return out.flatten(0, 1) if is_even else out[rows, places]  # (T, H, Dh)

        return attend

    def _attend_arrivals(self, arrivals: Sequence[Arrival]) -> Attend:
        """Attention of each prompt's own tokens over all of it, whose keys and values are noted in the rows behind the live ones."""
        first, own = len(self.lengths), tuple(arrival.own for arrival in arrivals)
        seen, reaches = tuple(len(arrival.tokens) for arrival in arrivals), tuple(arrival.reach for arrival in arrivals)
        ends_own, ends_seen = (torch.tensor([0, *counts]).cumsum(0, dtype=torch.int32).to(self.keys.device) for counts in (own, seen))

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            self._note(layer, k, v, arrivals)
            if any(reaches):
                k, v = (torch.cat([cached[layer, first + n, :, :t].transpose(0, 1) for n, t in enumerate(seen)]) for cached in self._both)
            if q.is_cuda and q.dtype in (torch.float16, torch.bfloat16) and (flash := varlen_flash()) is not None:
                return flash(q, k, v, ends_own, ends_seen, max(own), max(seen))
            return attend_by_sequence(q, k, v, own, reaches)

        return attend

    def _note(self, layer: int, k: Tensor, v: Tensor, arrivals: Sequence[Arrival]) -> None:
        """Puts the arrivals' keys and values of a layer into their rows: what is borrowed, then their own, k and v (T, K, Dh)."""
        for cached, new in zip(self._both, (k, v)):
            for row, (arrival, own) in enumerate(zip(arrivals, new.split([arrival.own for arrival in arrivals])), len(self.lengths)):
                if arrival.source != row:
                    cached[layer, row, :, : arrival.reach] = cached[layer, arrival.source, :, : arrival.reach]
                cached[layer, row, :, arrival.reach : len(arrival.tokens)] = own.transpose(0, 1)  # (K, t, Dh)


def side_by_side(parts: Sequence[tuple[Attend, int]]) -> Attend:
    """Attention of tokens that lie end to end, each part (attention, tokens) by its own."""
    if len(parts) == 1:
        return parts[0][0]
    sizes = [tokens for _, tokens in parts]

    def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        split = zip(q.split(sizes), k.split(sizes), v.split(sizes))
        return torch.cat([attend_part(layer, *qkv) for (attend_part, _), qkv in zip(parts, split)])

    return attend


def common_prefix(a: np.ndarray, b: np.ndarray) -> int:
    """How many tokens two sequences of ids begin with in common."""
    shorter = min(len(a), len(b))
    differs = a[:shorter] != b[:shorter]
    return int(differs.argmax()) if differs.any() else shorter


def serving_order(prompts: Sequence[Sequence[int]], widths: Sequence[int]) -> list[int]:
    """Indices of the prompts as they are best served: those that share at least half of a prompt together, the widest first.

    Rows of like length waste little attention on each other's tail, and neighbours find their beginning in the cache.
    """
    ids = [np.asarray(prompt, dtype=np.int64) for prompt in prompts]
    by_content = sorted(range(len(ids)), key=lambda n: tuple(prompts[n]))
    groups: list[list[int]] = []
    for n in by_content:
        before = ids[groups[-1][-1]] if groups else NOTHING
        if groups and 2 * common_prefix(before, ids[n]) >= min(len(before), len(ids[n])):
            groups[-1].append(n)
        else:
            groups.append([n])
    in_groups = [sorted(group, key=lambda n: (-widths[n], n)) for group in groups]
    return [n for group in sorted(in_groups, key=lambda group: (-widths[group[0]], group[0])) for n in group]
