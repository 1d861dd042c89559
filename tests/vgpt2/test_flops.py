import pytest
import torch
from tiny_jobs import VOCAB, tiny_model
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from kernels.linear_logps import linear_logps
from kernels.rope import rope_tables
from vgpt2.attention import attend_by_sequence
from vgpt2.config import LoRAConfig
from vgpt2.flops import recomputed_flops, useful_flops
from vgpt2.lora import add_lora
from vgpt2.model import DecoderLayer
from vgpt2.model_config import ModelConfig
from vgpt2.packing import pack

QWEN_7B = ModelConfig("qwen2", 152064, 3584, 18944, 28, 28, 4, 128, qkv_bias=True)


aten = torch.ops.aten


def in_place_product(_, a, b, out_shape=None, **options):
    return 2 * a[0] * a[1] * b[1]


def causal(q, *rest, out_shape=None, **options):
    batch, heads, length, width = q
    return 2 * batch * heads * length * length * width  # two products, half of each


def causal_backward(grad, q, *rest, out_shape=None, **options):
    return 2 * causal(q)  # four products; flash attention's scores, made once more, are not counted


# what torch's counter leaves out
COUNTED = {
    aten.addmm_: in_place_product,
    aten._scaled_dot_product_flash_attention_for_cpu: causal,
    aten._scaled_dot_product_flash_attention_for_cpu_backward: causal_backward,
}


def test_seven_billion_at_rank_128_costs_32_69_gflop_a_token():
    # 4 * 6.525e9 + 6 * 323.0e6 + 4 * 0.545e9 + 3 * 0.8221e9 = 32.69e9
    adapters = 28 * 128 * (2 * (3584 + 3584) + 2 * (3584 + 512) + 3 * (3584 + 18944))
    assert adapters == pytest.approx(323.0e6, rel=1e-3)
    assert useful_flops(QWEN_7B, lengths=[4096], shared=[0], scored=4096, trained=adapters) / 4096 == pytest.approx(32.69e9, rel=1e-3)


def test_a_full_fine_tune_costs_44_89_gflop_a_token():
    assert useful_flops(QWEN_7B, lengths=[4096], shared=[0], scored=4096, trained=None) / 4096 == pytest.approx(44.89e9, rel=1e-3)


def test_a_head_that_is_trained_beside_adapters_costs_its_weight_s_gradient_more():
    """2 V D = 1.09e9 operations a scored position."""
    shape = {"lengths": [4096], "shared": [0], "scored": 100, "trained": 1000}
    more = useful_flops(QWEN_7B, **shape, trains_head=True) - useful_flops(QWEN_7B, **shape)
    assert more == 2 * 152_064 * 3584 * 100


def test_the_operations_of_a_step_are_those_that_torch_counts():
    """Full fine-tune of the tiny model, to the last operation."""
    model = tiny_model(dtype=torch.float32)
    lengths = [5, 9, 3]
    packed = pack([([1] * n, [False] + [True] * (n - 1)) for n in lengths])
    with FlopCounterMode(display=False, custom_mapping=COUNTED) as counter:
        (-model(packed).sum()).backward()
    scored = sum(lengths) - len(lengths)
    expected = useful_flops(model.cfg, lengths=lengths, shared=[0] * len(lengths), scored=scored, trained=None)
    # the head walks its logits once more for a trainable weight: 8 VD a scored position instead of 6
    assert counter.get_total_flops() == expected + 2 * VOCAB * 64 * scored


def counted_layer(lora: LoRAConfig | None, *, tokens: int, again: bool) -> int:
    """Operations of one 7B layer forward and backward, run again in between or not; fake tensors, so nothing is computed."""
    with FakeTensorMode():
        torch.set_default_dtype(torch.bfloat16)
        try:
            layer = DecoderLayer(QWEN_7B, 0)
        finally:
            torch.set_default_dtype(torch.float32)
        if lora:
            add_lora(layer, lora, seed=0)
        x = torch.randn(tokens, QWEN_7B.hidden_size, dtype=torch.bfloat16, requires_grad=True)
        tables = rope_tables(torch.arange(tokens), torch.rand(QWEN_7B.head_dim // 2), 1.0)

        def attend(_, q, k, v):
            return attend_by_sequence(q, k, v, (tokens,))

        with FlopCounterMode(display=False, custom_mapping=COUNTED) as counter, torch.autocast("cpu", torch.bfloat16):
            y = checkpoint(layer, x, tables, attend, use_reentrant=False) if again else layer(x, tables, attend)
            y.sum().backward()
    return counter.get_total_flops()


def counted_head(*, trains: bool) -> float:
    """Operations of the head for each number of its weight and each scored position, counted on a small one."""
    hidden, labels = torch.randn(50, 32, requires_grad=True), torch.randint(4096, (50,))
    weight = torch.randn(4096, 32, requires_grad=trains)
    with FlopCounterMode(display=False) as counter:
        linear_logps(hidden, weight, labels).sum().backward()
    return counter.get_total_flops() / weight.numel() / len(labels)


@pytest.mark.parametrize("layers", [0, 28])
@pytest.mark.parametrize("lora", [LoRAConfig(rank=128), None], ids=["lora", "full"])
def test_a_7b_step_takes_at_most_three_percent_more_operations_than_the_formula(lora, layers):
    """4,096 tokens, all scored. Beyond the formula: some x A^T a second time, or the logits for the gradient of the head's weight."""
    tokens = 4096
    head = counted_head(trains=lora is None) * QWEN_7B.vocab_size * QWEN_7B.hidden_size * tokens
    counted = QWEN_7B.num_hidden_layers * counted_layer(lora, tokens=tokens, again=bool(layers)) + head
    trained = 28 * 128 * (2 * (3584 + 3584) + 2 * (3584 + 512) + 3 * (3584 + 18944)) if lora else None
    shape = {"lengths": [tokens], "shared": [0], "trained": trained}
    formula = useful_flops(QWEN_7B, **shape, scored=tokens) + recomputed_flops(QWEN_7B, **shape, layers=layers)
    assert 0.999 < counted / formula <= 1.03


def test_full_recomputation_of_7b_at_rank_128_costs_47_20_gflop_a_token():
    """32.69e9 + 2 * 6.525e9 + 2 * 0.323e9 + 0.822e9 = 47.21e9."""
    shape = {"lengths": [4096], "shared": [0], "trained": 322_961_408}
    total = useful_flops(QWEN_7B, **shape, scored=4096) + recomputed_flops(QWEN_7B, **shape, layers=28)
    assert total / 4096 == pytest.approx(47.20e9, rel=1e-3)
