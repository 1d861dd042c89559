"""Supervised fine-tuning: next-token cross-entropy on the completion tokens."""

import torch
from torch import Tensor

from vgpt2.losses.logps import IGNORE


def sft_loss(token_logps: Tensor, labels: Tensor, scored: Tensor | None = None) -> Tensor:
    """Loss of each label token, (U,): -log pi(y_t | x, y_<t), for the U tokens whose label is not IGNORE, in order.

    token_logps (T,), labels (T,); scored (U,) int64: the positions of those tokens, where the caller knows them. Without a label token
    the result is empty and its sum has a zero gradient.
    Raises ValueError when the shapes differ.
    """
    if token_logps.shape != labels.shape or token_logps.dim() != 1:
        raise ValueError(f"token_logps {tuple(token_logps.shape)} and labels {tuple(labels.shape)} must have the same shape (T,)")
    if scored is not None:
        return -token_logps.index_select(0, scored)
    # masked_select, not [mask]: the backward of indexing accumulates in an order that threads decide.
    return -torch.masked_select(token_logps, labels != IGNORE)
