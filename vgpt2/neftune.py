"""NEFTune: uniform noise on the embeddings while training, put on a built model from outside.

Jain et al. 2023, arXiv:2310.05914v2, Alg. 1.
"""

import torch
from torch import Tensor, nn

from vgpt2.model import CausalLM
from vgpt2.packing import Packed


def add_noise(model: CausalLM, alpha: float) -> None:
    """In training mode every forward adds uniform noise in +-alpha / sqrt(L D) to its embeddings, L the tokens of a sequence.

    Evaluation and generation see none. The noise comes from torch's global generator, which the loop seeds for each step.
    """
    lengths: list[Tensor] = []  # of the forward under way: tokens of the sequence that each token belongs to, (T,)

    def note_lengths(_: nn.Module, inputs: tuple[Packed]) -> None:
        counts = inputs[0].cu_seqlens.diff()
        lengths[:] = [counts.repeat_interleave(counts, output_size=len(inputs[0].input_ids))]

    def disturb(embedding: nn.Module, _: object, embedded: Tensor) -> Tensor:
        if not embedding.training:
            return embedded
        reach = alpha / (lengths[0] * embedded.shape[1]).sqrt()  # (T,)
        noise = torch.rand_like(embedded, dtype=torch.float32).mul_(2).sub_(1)  # (T, D)
        return embedded + (noise * reach[:, None]).to(embedded.dtype)

    model.register_forward_pre_hook(note_lengths)
    model.model.embed_tokens.register_forward_hook(disturb)
