"""The memory plan against bytes that are counted while real and fake models run."""

import contextlib
import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import psutil
import pytest
import torch
from devices import on_gpu
from tiny_memory import LiveBytes
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention.varlen import varlen_attn

from vgpt2 import memory, step_bytes
from vgpt2.attention import branched_keys
from vgpt2.config import LoRAConfig, OptimConfig, TrainConfig
from vgpt2.lora import add_lora, lora_parameters
from vgpt2.memory import plan
from vgpt2.model import CausalLM
from vgpt2.model_config import ModelConfig
from vgpt2.offload import HostMemory
from vgpt2.optim import build
from vgpt2.packing import Packed, pack
from vgpt2.qlora import empty_nf4
from vgpt2.stages.answers import Answer, Mismatched
from vgpt2.stages.kto import KTO, KTOExample
from vgpt2.step_bytes import GIB, MicroBatch, Setup

QWEN_7B = ModelConfig("qwen2", 152_064, 3584, 18_944, 28, 28, 4, 128, qkv_bias=True)
TINY = ModelConfig("qwen2", 512, 96, 512, 4, 6, 2, 16, qkv_bias=True)
TINY_QK_NORM = ModelConfig("qwen3", 512, 96, 256, 4, 6, 2, 16, qk_norm=True, tie_word_embeddings=True)
LORA, FULL = LoRAConfig(rank=8), None
EVERYTHING = ("embed_tokens", "lm_head", "norm")


def built(cfg: ModelConfig, lora: LoRAConfig | None, dtype: torch.dtype, recomputed: int) -> CausalLM:
    torch.set_default_dtype(dtype if lora else torch.float32)  # fake parameters cannot be converted
    try:
        model = CausalLM(cfg)
    finally:
        torch.set_default_dtype(torch.float32)
    if lora:
        add_lora(model, lora, seed=0)
    model.recompute_layers = recomputed
    return model


def counted_step(
    model: CausalLM, packed: Packed, dtype: torch.dtype, after: Callable[[], object] = lambda: None
) -> tuple[int, int]:
    """Bytes alive between forward and backward, and the most at any moment of a second micro-batch; gradients are there already.

    after: called between the two.
    """

    def loss() -> torch.Tensor:
        with torch.autocast("cpu", dtype) if dtype != torch.float32 else contextlib.nullcontext():
            return -model(packed).sum()

    loss().backward()
    after()
    with LiveBytes() as live:
        total = loss()
        kept = live.now
        total.backward()
    return kept, live.peak


def kept_by_plan(setup: Setup, batch: MicroBatch, recomputed: int) -> int:
    """What is left between forward and backward: layers, what lies beside them, and the head's Jacobian (or what its weight needs)."""
    width = setup.model.hidden_size
    head = batch.scored * (4 * width + (setup.residual * width + 16 if setup.trains("lm_head") else 0)) + step_bytes.head_copy_bytes(setup)
    layers = sum(step_bytes.layer_bytes(setup, batch, index) for index in range(recomputed, setup.model.num_hidden_layers))
    here = min(recomputed, 1) if setup.offload else recomputed
    return here * step_bytes.checkpoint_bytes(setup, batch) + layers + step_bytes.outside_bytes(setup, batch) + head


@pytest.mark.parametrize("recomputed", [0, 2, 4])
@pytest.mark.parametrize(
    ("cfg", "lora", "dtype"),
    [
        (TINY, LORA, torch.bfloat16),
        (TINY, LORA, torch.float32),
        (TINY, LoRAConfig(rank=8, dropout=0.1), torch.bfloat16),
        (TINY, LoRAConfig(rank=8, targets=("q_proj", "down_proj")), torch.bfloat16),
        (TINY, LoRAConfig(rank=8, use_dora=True), torch.bfloat16),
        (TINY, LoRAConfig(rank=8, use_dora=True, dropout=0.1), torch.bfloat16),
        (TINY, LoRAConfig(rank=8, rank_pattern={"layers.[01].mlp.down_proj": 64}), torch.float32),
        (TINY, LoRAConfig(rank=8, modules_to_save=EVERYTHING), torch.bfloat16),
        (TINY, LoRAConfig(rank=8, modules_to_save=("lm_head",)), torch.float32),
        (TINY_QK_NORM, LoRAConfig(rank=8, modules_to_save=EVERYTHING), torch.bfloat16),
        (TINY, FULL, torch.bfloat16),
        (TINY_QK_NORM, LORA, torch.bfloat16),
        (TINY_QK_NORM, FULL, torch.float32),
    ],
    ids=["lora", "lora in fp32", "dropout", "two targets", "dora", "dora with dropout", "ranks", "ends and norms", "head in fp32",
         "tied ends and norms", "full", "norms of q and k", "full in fp32"],
)  # fmt: skip
def test_kept_bytes_are_within_three_percent_and_the_peak_within_ten_of_what_is_counted(cfg, lora, dtype, recomputed):
    tokens = 512
    packed = pack([([1] * tokens, [False] + [True] * (tokens - 1))])
    kept, peak = counted_step(built(cfg, lora, dtype, recomputed), packed, dtype)
    setup = Setup(cfg, lora, dtype.itemsize, on_cuda=False)
    batch = MicroBatch(tokens, tokens - 1, tokens)
    assert kept == pytest.approx(kept_by_plan(setup, batch, recomputed), rel=0.03)
    planned = plan(setup, batch, recomputed).peak - sum(step_bytes.fixed_bytes(setup).values())
    assert peak == pytest.approx(planned, rel=0.10)


@pytest.mark.parametrize(("lora", "dtype"), [(LORA, torch.bfloat16), (FULL, torch.float32)], ids=["lora", "full"])
def test_of_offloaded_inputs_one_is_kept_on_the_device_and_two_lie_there_while_a_layer_runs_again(lora, dtype):
    """Five layers of six recomputed: 5 inputs become 1. Rooms in the host's memory are there from the micro-batch before, not counted."""
    tokens, recomputed = 512, 5
    cfg = replace(TINY, num_hidden_layers=6)
    packed = pack([([1] * tokens, [False] + [True] * (tokens - 1))])
    batch, counted = MicroBatch(tokens, tokens - 1, tokens), {}
    for offload in (False, True):
        model = built(cfg, lora, dtype, recomputed)
        model.offload = HostMemory(torch.device("cpu")) if offload else None
        kept, peak = counted[offload] = counted_step(model, packed, dtype)
        setup = Setup(cfg, lora, dtype.itemsize, on_cuda=False, offload=offload)
        assert kept == pytest.approx(kept_by_plan(setup, batch, recomputed), rel=0.03)
        planned = plan(setup, batch, recomputed).peak - sum(step_bytes.fixed_bytes(setup).values())
        assert peak == pytest.approx(planned, rel=0.10)
    one_input = tokens * 96 * (dtype.itemsize if lora else 4)
    assert counted[False][0] - counted[True][0] == 4 * one_input
    assert step_bytes.checkpoint_bytes(setup, batch) == one_input
    assert plan(setup, batch, recomputed).host == 4 * step_bytes.page_locked(one_input)
    if model.offload:
        assert len(model.offload.free) == 4


def test_inputs_that_the_hosts_memory_cannot_take_are_refused():
    found = memory.Plan(9, "head", {}, host=int(6.4 * GIB))
    memory.require_on_host(found, int(6.5 * GIB))
    memory.require_on_host(found, None)
    with pytest.raises(ValueError, match=r"model.offload_checkpoints: needs 6.4 GiB of the host's 4.0; lower batch.micro_batch_tokens"):
        memory.require_on_host(found, 4 * GIB)
    found = replace(found, paged=int(14.2 * GIB))
    memory.require_on_host(found, int(20.7 * GIB))
    with pytest.raises(ValueError, match=r"optim.paged: needs 20.6 GiB of the host's 20.5; train fewer weights, or set it to false"):
        memory.require_on_host(found, int(20.5 * GIB))


def test_the_memory_of_this_machine_is_what_another_library_says():
    assert memory.host_room() == pytest.approx(psutil.virtual_memory().total, rel=0.01)


def test_page_locked_memory_comes_in_powers_of_two():
    assert [step_bytes.page_locked(size) for size in (1, 4096, 4097, 84 << 20)] == [1, 4096, 8192, 128 << 20]


def test_offloading_is_named_where_nothing_else_lets_one_pack_fit():
    """7B r128 at 32,768 tokens: 14.19 + 4.81 fixed; 28 inputs of 0.22 GiB lie on the card, or 2."""
    cfg = TrainConfig.model_validate(
        config(gradient_checkpointing="auto").model_dump()
        | {"batch": {"pack_tokens": 32_768, "micro_batch_tokens": 32_768}, "data": {"cutoff_tokens": 32_768}}
    )
    setup, batch = memory.setup_of(QWEN_7B, cfg, compute=2), memory.fullest(cfg, 32_768)
    everything = plan(setup, batch, 28).peak
    room = everything - GIB
    with pytest.raises(ValueError, match=r"every layer recomputed; set model.offload_checkpoints=true$"):
        memory.chosen(cfg, setup, batch, room)
    offloaded = replace(setup, offload=True)
    assert memory.chosen(cfg, offloaded, batch, room).peak <= room
    assert everything - plan(offloaded, batch, 28).peak == 26 * step_bytes.checkpoint_bytes(setup, batch)


@pytest.mark.parametrize("recomputed", [0, 2, 4])
def test_on_4_bit_matrices_kept_bytes_and_the_peak_are_the_plans_too(recomputed):
    """The room for one dequantised matrix is fixed in the plan; on the CPU it comes and goes with the matmul."""
    tokens, dtype = 512, torch.bfloat16
    model = CausalLM(TINY).to(dtype)
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    for name, layer in empty_nf4(model).items():
        layer.store(weights[name], name)
    model.requires_grad_(False)
    add_lora(model, LORA, seed=0)
    model.recompute_layers = recomputed
    packed = pack([([1] * tokens, [False] + [True] * (tokens - 1))])
    kept, peak = counted_step(model, packed, dtype)
    setup, batch = Setup(TINY, LORA, 2, nf4=True, on_cuda=False), MicroBatch(tokens, tokens - 1, tokens)
    assert kept == pytest.approx(kept_by_plan(setup, batch, recomputed), rel=0.03)
    planned = plan(setup, batch, recomputed).peak - sum(step_bytes.fixed_bytes(setup).values())
    one_matrix = 2 * TINY.hidden_size * TINY.intermediate_size
    assert peak == pytest.approx(planned + one_matrix, rel=0.10)


@pytest.mark.parametrize("scored", [80, 511], ids=["few scored", "all scored"])
@pytest.mark.parametrize(("lora", "dtype"), [(LORA, torch.bfloat16), (LORA, torch.float32), (FULL, torch.bfloat16)])
def test_a_pass_without_gradients_peaks_within_ten_percent_of_the_plan(lora, dtype, scored):
    """The reference pass, evaluation and KTO's mismatched answers."""
    tokens = 512
    packed = pack([([1] * tokens, [False] * (tokens - scored) + [True] * scored)])
    model = built(TINY, lora, dtype, 0)

    def score() -> None:
        with torch.no_grad(), torch.autocast("cpu", dtype) if dtype != torch.float32 else contextlib.nullcontext():
            model(packed)

    score()
    with LiveBytes() as live:
        score()
    setup, batch = Setup(TINY, lora, dtype.itemsize, on_cuda=False), MicroBatch(tokens, scored, tokens)
    assert live.peak == pytest.approx(step_bytes.reference_bytes(setup, batch), rel=0.10)


def test_peaks_stay_within_ten_percent_when_few_positions_are_scored():
    packed = pack([([1] * 640, [False] * 560 + [True] * 80)])
    _, peak = counted_step(built(TINY, LORA, torch.bfloat16, 0), packed, torch.bfloat16)
    setup = Setup(TINY, LORA, 2, on_cuda=False)
    planned = plan(setup, MicroBatch(640, 80, 640), 0).peak - sum(step_bytes.fixed_bytes(setup).values())
    assert peak == pytest.approx(planned, rel=0.10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("lora", [LoRAConfig(rank=8, modules_to_save=EVERYTHING), FULL], ids=["lora", "full"])
def test_both_gradients_of_a_tied_embedding_and_their_sum_are_in_the_plan(lora, dtype):
    """A table larger than all else: the head's gradient waits for the embedding's."""
    cfg = replace(TINY, vocab_size=8192, tie_word_embeddings=True)
    packed = pack([([1] * 128, [False] * 68 + [True] * 60)])
    _, peak = counted_step(built(cfg, lora, dtype, 2), packed, dtype)
    setup = Setup(cfg, lora, dtype.itemsize, on_cuda=False)
    found = plan(setup, MicroBatch(128, 60, 128), 2)
    assert found.moment == "embedding"
    assert peak == pytest.approx(found.peak - sum(step_bytes.fixed_bytes(setup).values()), rel=0.10)


@pytest.mark.parametrize("recomputed", [0, 4])
@pytest.mark.parametrize(("vocab", "tokens"), [(512, 512), (8192, 128), (512, 48)])
@pytest.mark.parametrize("is_tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize(("dtype", "kind"), [(torch.bfloat16, "adamw8bit"), (torch.float32, "adamw")])
def test_steps_in_the_backward_pass_peak_within_ten_percent_of_the_plan(dtype, kind, is_tied, vocab, tokens, recomputed):
    """What steps and what it holds beside its gradient: layers, a head in tiles, a table larger than all else."""
    cfg = replace(TINY, vocab_size=vocab, tie_word_embeddings=is_tied)
    model = CausalLM(cfg).to(dtype)
    model.recompute_layers = recomputed
    optimizer = build(model, OptimConfig(kind=kind, in_backward=True, clip="tensor"))
    packed = pack([([1] * tokens, [False] + [True] * (tokens - 1))])
    _, peak = counted_step(model, packed, dtype, after=optimizer.pop_norm)
    setup = Setup(cfg, FULL, dtype.itemsize, in_backward=True, eight_bit_moments=kind == "adamw8bit", on_cuda=False)
    found = plan(setup, MicroBatch(tokens, tokens - 1, tokens), recomputed)
    assert peak == pytest.approx(found.peak - sum(step_bytes.fixed_bytes(setup).values()), rel=0.10)


def test_a_head_that_steps_in_tiles_saves_its_whole_gradient():
    """7B on the card: 152,064 x 3,584 x 2 bytes = 1.015 GiB, beside tiles that both ways have."""
    setups = [Setup(replace(QWEN_7B, tie_word_embeddings=tied), FULL, 2, in_backward=True) for tied in (True, False)]
    whole, tiled = (step_bytes.head_bytes(setup, MicroBatch(4096, 4096, 4096)) for setup in setups)
    assert whole - tiled == 2 * 152_064 * 3584


def flash(packed: Packed):
    """CUDA's way of attention, whose kept tensors fake tensors show on any machine."""
    keys = branched_keys(packed.cu_seqlens, packed.lengths, packed.shared or (0,) * len(packed.lengths))
    longest = max(packed.lengths)

    def attend(_, q, k, v):
        k, v = k.index_select(0, keys.rows), v.index_select(0, keys.rows)
        return varlen_attn(q, k, v, packed.cu_seqlens, keys.cu_seqlens, longest, 2 * longest, window_size=(-1, 0), enable_gqa=True)

    return attend


@pytest.mark.parametrize("recomputed", [0, 2, 4])
@pytest.mark.parametrize("lora", [LORA, FULL], ids=["lora", "full"])
def test_pairs_that_share_their_prompts_keep_what_the_plan_says(lora, recomputed):
    """DPO: the prompt is stored once and seen by both answers."""
    rng = random.Random(0)
    sequences = []
    for _ in range(4):
        prompt = [rng.randrange(97) for _ in range(120)]
        for answer in (30, 50):
            sequences.append((prompt + [rng.randrange(97) for _ in range(answer)], [False] * 120 + [True] * answer))
    with FakeTensorMode(allow_non_fake_inputs=True):
        packed = pack(sequences, share_prompts=True)
        model = built(TINY, lora, torch.bfloat16, recomputed)
        with LiveBytes() as live, torch.autocast("cpu", torch.bfloat16):
            hidden = model.hidden(packed.input_ids, packed.position_ids, flash(packed))
        kept = live.now - hidden.nbytes
    tokens, keys = packed.input_ids.numel(), sum(packed.lengths) + sum(packed.shared)
    assert (tokens, keys) == (4 * 201, 4 * (150 + 170))
    batch, setup = MicroBatch(tokens, 4 * 80, keys), Setup(TINY, lora, 2)
    head = 4 * 80 * (4 * 96 + (0 if lora else 4 * 96 + 16))
    assert kept == pytest.approx(kept_by_plan(setup, batch, recomputed) - head, rel=0.03)


def test_a_7b_layer_in_the_plan_is_the_one_whose_kept_tensors_are_counted_elsewhere():
    """107,120 bytes a token: derived by hand and counted in test_projections.py."""
    batch = MicroBatch(4096, 4096, 4096)
    assert step_bytes.layer_bytes(Setup(QWEN_7B, LoRAConfig(rank=128), 2), batch, 0) == 4096 * 107_120


@pytest.mark.parametrize("cfg", [QWEN_7B, TINY, TINY_QK_NORM], ids=["7B", "tiny", "tiny with norms of q and k"])
def test_weights_and_adapters_are_counted_to_the_last_one(cfg):
    with torch.device("meta"):
        model = CausalLM(cfg)
    assert step_bytes.weight_count(cfg) == sum(parameter.numel() for parameter in model.parameters())
    patterns = {"rank_pattern": {"layers.[02].self_attn.q_proj": 3}, "modules_to_save": EVERYTHING, "use_dora": True}
    lora = LoRAConfig(rank=16, targets=("q_proj", "o_proj", "layers.1.mlp.up_proj"), **patterns)
    with FakeTensorMode():
        model = CausalLM(cfg)
        add_lora(model, lora, seed=0)
    adapters = sum(parameter.numel() for parameter in lora_parameters(model).values())
    assert step_bytes.adapter_count(cfg, lora) == adapters
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert sum(step_bytes.whole_counts(cfg, lora).values()) == trained - adapters
    rows = step_bytes.fixed_bytes(Setup(cfg, lora, 2))
    frozen = sum(parameter.numel() for parameter in model.parameters()) - trained
    assert rows == {
        "weights": 2 * frozen,
        "adapters": 4 * adapters,
        "trained whole": 4 * (trained - adapters),
        "gradients": 4 * trained,
        "moments": 8 * trained,
    }


def test_fixed_bytes_of_7b_and_32b_are_those_of_the_byte_budget():
    """GiB by hand: 7.6156e9 * 2 = 14.19; 323.0e6 * 16 = 4.81; NF4 31.206e9 * 4.127 / 8 = 14.99, ends 2.90, one matrix 0.26."""
    seven = step_bytes.fixed_bytes(Setup(QWEN_7B, LoRAConfig(rank=128), 2))
    assert seven["weights"] / GIB == pytest.approx(14.19, abs=0.01)
    assert (sum(seven.values()) - seven["weights"]) / GIB == pytest.approx(4.81, abs=0.01)
    cfg = ModelConfig("qwen2", 152_064, 5120, 27_648, 64, 40, 8, 128, qkv_bias=True)
    quantised = step_bytes.fixed_bytes(Setup(cfg, LoRAConfig(rank=128), 2, nf4=True))
    assert quantised["weights"] / GIB == pytest.approx(14.99 + 2.90 + 0.26, abs=0.02)
    full = step_bytes.fixed_bytes(Setup(QWEN_7B, None, 2, eight_bit_moments=True, in_backward=True))
    assert full["moments"] / GIB == pytest.approx(14.41, abs=0.01)


@pytest.mark.parametrize("lora", [LoRAConfig(rank=8, modules_to_save=("lm_head",)), FULL], ids=["lora", "full"])
def test_of_paged_moments_only_the_scales_count_on_the_card(lora):
    """Two moments of a byte a trained number are the host's; two fp32 scales for 256 of them the card's."""
    setup = Setup(TINY, lora, 2, eight_bit_moments=True)
    paged = replace(setup, paged=True)
    found, batch = step_bytes.fixed_bytes(paged), MicroBatch(512, 511, 512)
    trained = step_bytes.fixed_bytes(setup)["gradients"] // 4
    assert found == step_bytes.fixed_bytes(setup) | {"moments": int(2 * trained * 4 / 256)}
    assert [plan(each, batch, 0).paged for each in (setup, paged)] == [0, 2 * trained]
    assert plan(setup, batch, 0).peak - plan(paged, batch, 0).peak == 2 * trained


def test_a_32b_folder_is_loaded_in_less_than_24_gb_of_the_hosts_memory():
    """Codes 16.1 GB, ends 3.1; beside them two 16-bit matrices and 96 MiB: in a child, 74 MiB of 8-MiB matrices and 107 of 32-MiB ones."""
    cfg = ModelConfig("qwen2", 152_064, 5120, 27_648, 64, 40, 8, 128, qkv_bias=True)
    matrix = 2 * cfg.hidden_size * cfg.intermediate_size  # on the host none stays dequantised
    there = step_bytes.fixed_bytes(Setup(cfg, LoRAConfig(rank=128), 2, nf4=True))["weights"] - matrix
    assert there / 1e9 == pytest.approx(16.1 + 3.1, abs=0.05)
    assert there + 2 * matrix + 96 * 2**20 < 24e9


@pytest.mark.parametrize(
    ("lora", "message"),
    [
        ({"targets": ["qproj"]}, "no linear layer of the model is called 'qproj'"),
        ({"rank_pattern": {"layers.99.*": 3}}, "'layers.99.*' fits no adapted layer"),
        ({"modules_to_save": ["wte"]}, "no embedding, head or norm is called 'wte'"),
        ({"modules_to_save": ["lm_head"]}, "lm_head and embed_tokens are one tensor"),
    ],
    ids=str,
)
def test_names_that_the_model_has_not_are_refused_before_a_weight_is_read(lora, message):
    cfg = TrainConfig.model_validate({"model": {"path": "m"}, "lora": lora})
    with pytest.raises(ValueError) as refusal:
        memory.setup_of(TINY_QK_NORM, cfg, compute=2)
    assert message in str(refusal.value)


def config(**model: object) -> TrainConfig:
    return TrainConfig.model_validate({"model": {"path": "m", "dtype": "bfloat16", **model}, "lora": {"rank": 128}})


@pytest.mark.parametrize(("room", "layers"), [(46.5, 0), (32.0, 1), (24.0, 21)])
def test_auto_recomputes_as_few_layers_as_the_room_needs(room, layers):
    """7B r128, one pack of 4,096 tokens: 14.19 + 4.81 + 11.4 kept + about 0.9 fits 46.5 GiB; a layer more saves 0.39 GiB."""
    setup = Setup(QWEN_7B, LoRAConfig(rank=128), 2)
    batch = memory.fullest(config(), 4096)
    found = memory.chosen(config(gradient_checkpointing="auto"), setup, batch, int(room * GIB))
    assert found.recomputed == layers
    assert found.peak <= room * GIB
    assert layers == 0 or plan(setup, batch, layers - 1).peak > memory.SAFE * room * GIB


@pytest.mark.parametrize(("asked", "layers"), [(False, 0), (True, 28), (0, 0), (5, 5), (99, 28), ("auto", 0)])
def test_without_a_known_room_what_is_asked_for_is_done(asked, layers):
    setup = Setup(QWEN_7B, LoRAConfig(rank=128), 2)
    assert memory.chosen(config(gradient_checkpointing=asked), setup, memory.fullest(config(), 4096), None).recomputed == layers


@pytest.mark.parametrize(
    ("room", "keys", "cure"),
    [
        (30, {}, "model.gradient_checkpointing: needs 31.3 GiB of 30.0 with 0 of 28 layers recomputed; 6 fit, so set it to auto"),
        (22, {"batch": {"micro_batch_tokens": 32_768}}, "set it to 4096, and model.gradient_checkpointing=auto"),
        (20.3, {}, "set model.offload_checkpoints=true, and model.gradient_checkpointing=auto"),
        (20.0, {}, "so lower data.cutoff_tokens and batch.pack_tokens"),
        (19.3, {}, "no row fits: set model.quantization=nf4"),
        (46.5, {"lora": None}, "no row fits: train adapters (lora), or set optim.in_backward with optim.kind adamw8bit"),
    ],
)
def test_what_cannot_fit_is_refused_with_the_nearest_setting_that_does(room, keys, cure):
    cfg = TrainConfig.model_validate(config().model_dump() | keys | {"batch": config().batch.model_dump() | keys.get("batch", {})})
    setup = memory.setup_of(QWEN_7B, cfg, compute=2)
    with pytest.raises(ValueError) as refusal:
        memory.chosen(cfg, setup, memory.fullest(cfg, cfg.batch.micro_batch_tokens), int(room * GIB))
    assert cure in str(refusal.value)
    assert len(str(refusal.value)) <= 200


def test_the_named_micro_batch_fits_and_the_next_one_does_not():
    cfg = config(gradient_checkpointing=True)
    setup, room = memory.setup_of(QWEN_7B, cfg, compute=2), int(30 * GIB)
    tokens = memory.largest_tokens(cfg, setup, room, step=4096)
    assert plan(setup, memory.fullest(cfg, tokens), 28).peak <= room < plan(setup, memory.fullest(cfg, tokens + 4096), 28).peak


def test_the_fullest_micro_batch_holds_ktos_mismatched_answers_only_where_it_is_a_step_and_they_fit():
    """By hand: a prompt of 20 of which 19 are shared, own answers of 5, mismatched ones of 3."""
    other = Answer(np.arange(9, dtype=np.int32), np.arange(9) >= 6, 6, 0)
    owns = [Answer(np.arange(start, start + 25, dtype=np.int32), np.arange(25) >= 20, 20, 0) for start in range(4)]
    rows = [KTOExample("rows.jsonl:1", (own, Mismatched(own, other)), True, 0) for own in owns]
    assert memory.fullest_of(rows, [[[0, 1]]], budget=100) == MicroBatch(2 * (25 + 4), 2 * (5 + 3), 2 * (25 + 23))
    assert memory.fullest_of(rows, [[[0, 1]]], budget=57) == MicroBatch(50, 10, 50)
    assert memory.fullest_of(rows, [[[0, 1], [2]], [[3]]], budget=100) == MicroBatch(50, 10, 50)
    batch = KTO(TrainConfig.model_validate({"stage": "kto", "model": {"path": "m"}})).collate(rows[:2])
    assert len(batch.both.packed.input_ids) == 2 * (25 + 4)


@on_gpu
@pytest.mark.parametrize("recomputed", [0, 4, 8])
@pytest.mark.parametrize("lora", [LoRAConfig(rank=128), FULL], ids=["lora", "full"])
def test_the_peak_on_the_card_is_within_ten_percent_of_the_plan(lora, recomputed):
    """Eight layers of the 7B shape, 4,096 tokens in four sequences, a second micro-batch with AdamW's moments there."""
    cfg = ModelConfig("qwen2", 152_064, 3584, 18_944, 8, 28, 4, 128, qkv_bias=True)
    with torch.device("cuda"):
        model = CausalLM(cfg).to(torch.bfloat16 if lora else torch.float32)
    if lora:
        add_lora(model, lora, seed=0)
    model.recompute_layers = recomputed
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-5, fused=True)
    packed = pack([([1] * 1024, [False] + [True] * 1023)] * 4).to("cuda")

    def backward() -> None:
        with torch.autocast("cuda", torch.bfloat16):
            loss = -model(packed).sum()
        loss.backward()

    backward()
    optimizer.step()
    torch.cuda.reset_peak_memory_stats()
    backward()
    setup = Setup(cfg, lora, 2)
    planned = plan(setup, MicroBatch(4096, 4092, 4096), recomputed).peak - memory.WORKSPACE
    assert torch.cuda.max_memory_allocated() == pytest.approx(planned, rel=0.10)
