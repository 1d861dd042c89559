"""Embedding, head and norms trained whole: gradients and folders against PEFT, tied and untied, and what stays as it was."""

import contextlib
import copy
import json
from pathlib import Path

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_adapters import IDS, PACKED, loss_of, move, ours, saved, theirs
from tiny_jobs import dpo_rows, tiny_config, tiny_job, tiny_model
from tiny_models import exact_norms, oracle, twin
from torch import nn
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoModelForCausalLM

from vgpt2 import loop, optim, reference, weights
from vgpt2.adapter_files import load_adapter
from vgpt2.config import LoRAConfig, OptimConfig
from vgpt2.generate import generate
from vgpt2.loop import State
from vgpt2.lora import add_lora, lora_parameters, merge_lora
from vgpt2.losses.logps import sequence_logps
from vgpt2.model import CausalLM
from vgpt2.modules_to_save import WideEmbedding, is_tied, weights_of
from vgpt2.packing import pack

EVERYTHING = ("embed_tokens", "lm_head", "norm")
UNTIED, TIED = "qwen3", "smollm2"


def whole(model: CausalLM) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad and "lora_" not in name}


@pytest.mark.parametrize("family", [UNTIED, TIED])
def test_logits_loss_and_every_gradient_are_peft_s_in_fp64(family: str, tmp_path: Path):
    """INVARIANT 37: norms of q and k too; a tied embedding gets both its gradients, here and there as one tensor."""
    model = ours(family, modules_to_save=EVERYTHING)
    other = theirs(family, saved(model, tmp_path))
    with exact_norms(other.base_model.model):
        expected, loss = loss_of(other)
    assert_close(model.logits(PACKED), expected, atol=1e-10, rtol=0)
    (-model(PACKED).sum()).backward()
    loss.backward()
    named = dict(other.named_parameters())
    found = whole(model)
    assert len(found) == {UNTIED: 2 + 1 + 2 * 4, TIED: 1 + 1 + 2 * 2}[family]
    twins = [(p, named[f"base_model.model.{name.removesuffix('.weight')}.modules_to_save.default.weight"]) for name, p in found.items()]
    twins += [(p, named[f"base_model.model.{name}.default.weight"]) for name, p in lora_parameters(model).items()]
    for parameter, their in twins:
        assert_close(parameter.grad, their.grad, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", [UNTIED, TIED])
def test_a_fresh_copy_leaves_the_logits_bit_identical_and_is_fp32(family: str, dtype: torch.dtype):
    """INVARIANT 26: the residual stream and the head's matmul stay in the model's dtype."""
    model = twin(oracle(family, dtype=dtype))
    before = model.logits(PACKED)
    add_lora(model, LoRAConfig(rank=4, modules_to_save=EVERYTHING), seed=0)
    assert torch.equal(model.logits(PACKED), before)
    assert {parameter.dtype for parameter in whole(model).values()} == {torch.float32}
    assert model.hidden(PACKED.input_ids, PACKED.position_ids, lambda index, q, k, v: q).dtype == dtype
    assert is_tied(model) == (family == TIED)
    with torch.autocast("cpu", torch.bfloat16) if dtype == torch.bfloat16 else contextlib.nullcontext():
        (-model(PACKED).sum()).backward()
    assert all(parameter.grad.dtype == torch.float32 and parameter.grad.abs().max() > 0 for parameter in whole(model).values())


@pytest.mark.parametrize("entries", [("embed_tokens",), ("lm_head", "norm")], ids=str)
def test_one_half_of_a_tied_embedding_is_refused(entries: tuple[str, ...]):
    with pytest.raises(ValueError, match=r"lora.modules_to_save: .* are one tensor in this model; name both, to train it, or neither"):
        ours(TIED, modules_to_save=entries)
    assert len(whole(ours(UNTIED, modules_to_save=entries[:1]))) == 1


@pytest.mark.parametrize("family", [UNTIED, TIED])
def test_a_folder_comes_back_with_the_same_bits(family: str, tmp_path: Path):
    """INVARIANTS 35 and 37: into a bare model and into a run."""
    model = ours(family, torch.float32, modules_to_save=EVERYTHING, use_dora=True)
    saved(model, tmp_path / "a")
    bare, run = (twin(oracle(family, dtype=torch.float32)) for _ in "br")
    add_lora(run, LoRAConfig(rank=4, alpha=8.0, modules_to_save=EVERYTHING, use_dora=True), seed=7)
    for again in (bare, run):
        load_adapter(again, tmp_path / "a")
        assert torch.equal(again.logits(PACKED), model.logits(PACKED))
        assert is_tied(again) == (family == TIED)
        saved(again, tmp_path / "b")
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    config = json.loads((tmp_path / "a" / "adapter_config.json").read_text("utf-8"))
    assert config.get("ensure_weight_tying", False) == (family == TIED)


@pytest.mark.parametrize(
    ("family", "entries", "tying"),
    [(UNTIED, ["embed_tokens", "lm_head", "norm"], False), (UNTIED, ["model.norm"], False),
     (TIED, ["embed_tokens"], True), (TIED, ["lm_head"], True)],
    ids=str,
)  # fmt: skip
def test_a_folder_of_peft_is_read(family: str, entries: list[str], tying: bool, tmp_path: Path):
    """INVARIANTS 35 and 37: PEFT leaves the head out of the list where it is the embedding."""
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj"], modules_to_save=entries, ensure_weight_tying=tying)
    other = peft.get_peft_model(oracle(family), config).eval()
    move(other)
    other.save_pretrained(tmp_path)
    model = twin(oracle(family))
    load_adapter(model, tmp_path)
    with exact_norms(other.base_model.model):
        assert_close(model.logits(PACKED), other(IDS).logits[0], atol=1e-10, rtol=0)
    assert is_tied(model) == (family == TIED)
    saved(model, tmp_path / "ours")
    again = twin(oracle(family))
    load_adapter(again, tmp_path / "ours")
    assert torch.equal(again.logits(PACKED), model.logits(PACKED))


def test_an_adapter_that_unties_is_refused(tmp_path: Path):
    """PEFT trains two copies where it is not told to tie them; ours would lose one."""
    config = peft.LoraConfig(r=4, target_modules=["q_proj"], modules_to_save=["embed_tokens", "lm_head"])
    other = peft.get_peft_model(oracle(TIED), config)
    move(other)
    other.save_pretrained(tmp_path / "two")
    with pytest.raises(ValueError, match=r"embedding and head differ and are one tensor in this model; untie it"):
        load_adapter(twin(oracle(TIED)), tmp_path / "two")
    config.modules_to_save = ["embed_tokens"]
    peft.get_peft_model(oracle(TIED), config).save_pretrained(tmp_path / "one")
    with pytest.raises(ValueError, match=r"embed_tokens and lm_head are one tensor in this model; name both"):
        load_adapter(twin(oracle(TIED)), tmp_path / "one")


@pytest.mark.parametrize("family", [UNTIED, TIED])
def test_a_merged_model_is_bare_rounds_once_and_loads_in_transformers(family: str, tmp_path: Path):
    """INVARIANTS 36 and 37."""
    model = ours(family, torch.bfloat16, modules_to_save=EVERYTHING)
    wide = {name: parameter.detach().clone() for name, parameter in whole(model).items()}
    with torch.autocast("cpu", torch.bfloat16):
        before = model.logits(PACKED)
    merge_lora(model)
    assert not any(isinstance(module, WideEmbedding) for module in model.modules())
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert is_tied(model) == (family == TIED)
    for name, weight in wide.items():
        assert torch.equal(model.get_parameter(name), weight.to(torch.bfloat16)), name
    assert (model.logits(PACKED) - before).abs().max() < 0.05 * before.abs().max()
    weights.save_model(model, tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    exact = copy.deepcopy(model).float()
    assert_close(loaded(IDS).logits[0], exact.logits(PACKED), atol=1e-4, rtol=0)


@pytest.mark.parametrize("family", [UNTIED, TIED])
def test_merged_logits_equal_adapted_ones_in_fp32(family: str):
    """INVARIANT 36."""
    model = ours(family, torch.float32, modules_to_save=EVERYTHING)
    before = model.logits(PACKED)
    merge_lora(model)
    assert_close(model.logits(PACKED), before, atol=1e-4, rtol=0)


class Indexing(TorchDispatchMode):
    """Every operation by name; `wrong` are those that read or add by index where a trainable tensor takes part."""

    def __init__(self, trainable: list[nn.Parameter]) -> None:
        super().__init__()
        self.storages = {parameter.untyped_storage()._cdata for parameter in trainable}
        self.seen: set[str] = set()
        self.wrong: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        self.seen.add(name)
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        if "index_put" in name or (name == "index" and any(t.untyped_storage()._cdata in self.storages for t in tensors)):
            self.wrong.add(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("family", [UNTIED, TIED])
def test_rows_of_the_embedding_are_gathered_and_summed_without_index_put(family: str):
    """INVARIANT 48: index_put(accumulate) adds in no fixed order."""
    model = ours(family, torch.float32, modules_to_save=EVERYTHING)
    with Indexing(list(whole(model).values())) as watched:
        (-model(PACKED).sum()).backward()
    assert {"embedding", "embedding_dense_backward"} <= watched.seen
    assert not watched.wrong


def test_training_them_leaves_the_reference_as_it_was(tmp_path: Path):
    """INVARIANT 12: the oracle is the bare model, asked again after five steps."""
    model, bare, rows = tiny_model(), tiny_model(), dpo_rows(8)
    cfg = tiny_config("dpo", epochs=3, lora={"modules_to_save": ["embed_tokens", "lm_head", "norm"]})
    job = tiny_job(cfg, rows, tmp_path, model=model)

    def attach(*, may_compute: bool) -> list:
        knobs = {"budget": 64, "autocast": contextlib.nullcontext, "check": lambda: None, "progress": lambda n: None}
        return reference.attach(model, rows, tmp_path, key="k", may_compute=may_compute, **knobs)

    job.examples = attach(may_compute=True)
    state, before = State(), {name: parameter.detach().clone() for name, parameter in whole(model).items()}
    for _ in range(5):
        loop.take_step(job, state)
    assert all(not torch.equal(parameter, before[name]) for name, parameter in whole(model).items())
    assert [row.ref_logps for row in attach(may_compute=False)] == [row.ref_logps for row in job.examples]
    moved = 0.0
    for row in job.examples:
        packed = pack([answer.sequence for answer in row.answers])
        with torch.no_grad():
            assert row.ref_logps == pytest.approx(sequence_logps(bare(packed), packed.cu_seqlens).tolist(), abs=1e-6)
            moved = max(moved, (sequence_logps(model(packed), packed.cu_seqlens) - torch.tensor(row.ref_logps)).abs().max().item())
    assert moved > 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_generation_takes_what_is_trained(dtype: torch.dtype):
    """The cache has the dtype of the stream, not of the table; a merged model answers the same."""
    model = ours(TIED, dtype, modules_to_save=EVERYTHING)
    asked = {"max_new_tokens": 6, "eos_ids": [96], "token_budget": 64}
    answers = generate(model, [[5, 9, 2], [40, 31]], **asked)
    bare = generate(twin(oracle(TIED, dtype=dtype)), [[5, 9, 2], [40, 31]], **asked)
    assert answers != bare
    if dtype == torch.float32:
        merge_lora(model)
        assert generate(model, [[5, 9, 2], [40, 31]], **asked) == answers


def test_recomputed_layers_give_the_same_gradients():
    """INVARIANT 25."""
    seen = []
    for layers in (0, 2):
        model = ours(TIED, modules_to_save=EVERYTHING)
        model.recompute_layers = layers
        (-model(PACKED).sum()).backward()
        seen.append({name: parameter.grad for name, parameter in model.named_parameters() if parameter.requires_grad})
    for name, grad in seen[0].items():
        assert_close(seen[1][name], grad, atol=1e-12, rtol=0, msg=name)


def test_they_learn_at_the_run_s_rate_and_norms_do_not_decay():
    model = ours(UNTIED, modules_to_save=EVERYTHING)
    optimizer = optim.build(model, OptimConfig(weight_decay=0.1), loraplus_ratio=16.0)
    groups = {name: group for group in optimizer.param_groups for name in group["param_names"]}
    assert {(groups[name]["lr_ratio"], groups[name]["weight_decay"]) for name in whole(model) if "norm" in name} == {(1.0, 0.0)}
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        assert (groups[name]["lr_ratio"], groups[name]["weight_decay"]) == (1.0, 0.1)
    assert groups.keys() == whole(model).keys() | lora_parameters(model).keys()


@pytest.mark.parametrize("change", ["missing", "unexpected"])
def test_a_folder_that_holds_more_or_less_is_refused_by_name(change: str, tmp_path: Path):
    """INVARIANT 35."""
    path = saved(ours(UNTIED, modules_to_save=("model.norm",)), tmp_path) / "adapter_model.safetensors"
    tensors = load_file(path)
    key = "base_model.model.model.norm.weight"
    if change == "missing":
        del tensors[key]
    else:
        tensors["base_model.model.lm_head.weight"] = tensors[key].clone()
    save_file(tensors, path)
    with pytest.raises(ValueError, match="model.norm.weight' is missing" if change == "missing" else "lm_head.weight' fits no layer here"):
        load_adapter(twin(oracle(UNTIED)), tmp_path)


def test_weights_are_named_by_module_and_a_tied_one_twice():
    found = weights_of(ours(TIED, modules_to_save=("embed_tokens", "lm_head")), LoRAConfig(modules_to_save=("embed_tokens", "lm_head")))
    assert list(found) == ["model.embed_tokens", "lm_head"]
    assert found["model.embed_tokens"] is found["lm_head"]
