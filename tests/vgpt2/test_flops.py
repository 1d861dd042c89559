import pytest
import torch
from tiny_jobs import VOCAB, tiny_model
from torch.utils.flop_counter import FlopCounterMode

from vgpt2.flops import useful_flops
from vgpt2.model_config import ModelConfig
from vgpt2.packing import pack

QWEN_7B = ModelConfig("qwen2", 152064, 3584, 18944, 28, 28, 4, 128)


def test_seven_billion_at_rank_128_costs_32_69_gflop_a_token():
    # 4 * 6.525e9 + 6 * 323.0e6 + 4 * 0.545e9 + 3 * 0.8221e9 = 32.69e9
    adapters = 28 * 128 * (2 * (3584 + 3584) + 2 * (3584 + 512) + 3 * (3584 + 18944))
    assert adapters == pytest.approx(323.0e6, rel=1e-3)
    assert useful_flops(QWEN_7B, lengths=[4096], shared=[0], scored=4096, trained=adapters) / 4096 == pytest.approx(32.69e9, rel=1e-3)


def test_a_full_fine_tune_costs_44_89_gflop_a_token():
    assert useful_flops(QWEN_7B, lengths=[4096], shared=[0], scored=4096, trained=None) / 4096 == pytest.approx(44.89e9, rel=1e-3)


def test_the_matmuls_of_a_step_are_those_that_torch_counts():
    """Full fine-tune of the tiny model; attention left out on both sides, since torch counts it without the causal half."""
    model = tiny_model(dtype=torch.float32)
    lengths = [5, 9, 3]
    packed = pack([([1] * n, [False] + [True] * (n - 1)) for n in lengths])
    with FlopCounterMode(display=False) as counter:
        (-model(packed).sum()).backward()
    counted = sum(n for op, n in counter.get_flop_counts()["Global"].items() if "mm" in str(op))
    scored = sum(lengths) - len(lengths)
    all_work = useful_flops(model.cfg, lengths=lengths, shared=[0] * len(lengths), scored=scored, trained=None)
    expected = all_work - 3 * 2 * 2 * 64 * sum(n * n for n in lengths)
    # the head walks its logits once more for a trainable weight: 8 VD a scored position instead of 6
    assert counted == expected + 2 * VOCAB * 64 * scored
