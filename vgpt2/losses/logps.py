"""From token log-probabilities (T,) of sequences laid end to end to one number a sequence (N,)."""

import torch
from torch import Tensor

IGNORE = -100  # a label that is not scored; torch.nn.functional.cross_entropy's ignore_index


def sequence_logps(token_logps: Tensor, cu_seqlens: Tensor) -> Tensor:
    """Sum of each sequence's token log-probabilities, (N,), in the dtype of `token_logps`; an empty sequence gives 0.

    token_logps (T,) is 0 at every token that is not scored; cu_seqlens (N+1,) runs from 0 to T.
    Sums in fp64, in one fixed order, forward and backward: a 2,048-token answer keeps its last digit and equal runs give equal bits.
    Raises ValueError when the shapes do not fit.
    """
    return _segment_sum(token_logps, cu_seqlens, name="token_logps").to(token_logps.dtype)


def sequence_lengths(labels: Tensor, cu_seqlens: Tensor) -> Tensor:
    """Number of scored tokens of each sequence, (N,) int64: what |y| means in the losses that take means.

    labels (T,) is IGNORE at every token that is not scored. Raises ValueError when the shapes do not fit.
    """
    return _segment_sum(labels != IGNORE, cu_seqlens, name="labels").to(torch.int64)


def _segment_sum(values: Tensor, cu_seqlens: Tensor, *, name: str) -> Tensor:
    if values.dim() != 1 or cu_seqlens.dim() != 1 or len(cu_seqlens) < 2:
        raise ValueError(f"{name} {tuple(values.shape)} and cu_seqlens {tuple(cu_seqlens.shape)} must be (T,) and (N+1,) with N >= 1")
    # Comparing the lengths with T reads them on the host: free on a CPU, a synchronisation elsewhere.
    return torch.segment_reduce(values.double(), "sum", lengths=cu_seqlens.diff(), unsafe=values.device.type != "cpu")
