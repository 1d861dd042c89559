"""NF4 layers against the paper's arithmetic and PEFT's QLoRA; loading that never holds the 16-bit model."""

import json
import math
import subprocess
import sys
from pathlib import Path

import peft
import pytest
import tiny_models
import tiny_tokenizer
import torch
from devices import DEVICES
from safetensors.torch import load_file, save_file
from tiny_jobs import tiny_model
from torch import Tensor, nn
from torch.testing import assert_close
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM

from vgpt2 import checkpoint, export, loading, qlora
from vgpt2.adapter_files import load_adapter, save_adapter
from vgpt2.config import LoRAConfig
from vgpt2.lora import add_lora, lora_parameters, merge_lora
from vgpt2.model import CausalLM
from vgpt2.packing import pack
from vgpt2.projections import derive, project
from vgpt2.qlora import NF4Linear, Workspace, empty_nf4
from vgpt2.weights import load_model

# the 16 levels of 4-bit NormalFloat as printed in arXiv:2305.14314, appendix E
LEVELS = [-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
          -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
          0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0]  # fmt: skip
PACKED = pack([(list(range(40)), [False] * 8 + [True] * 32)])


def nf4(weight: Tensor, bias: Tensor | None = None) -> NF4Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, dtype=weight.dtype, device=weight.device)
    if bias is not None:
        linear.bias.data.copy_(bias)
    layer = NF4Linear(linear, Workspace())
    layer.store(weight, "layer")
    return layer


def by_hand(weight: Tensor) -> Tensor:
    """Each block of 64 divided by its largest magnitude and rounded to the nearest level; the scales are exact here."""
    blocks = weight.double().view(-1, 64)
    scales, levels = blocks.abs().amax(1, keepdim=True), torch.tensor(LEVELS, dtype=torch.float64)
    nearest = (blocks / scales)[..., None].sub(levels).abs().argmin(-1)
    return (levels[nearest] * scales).view(weight.shape)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape", [(256, 128), (128, 96), (40, 24)], ids=str)
def test_weights_round_to_the_paper_s_levels_and_scales_to_eight_bits(shape: tuple[int, int], device: str):
    """A block may end inside a row."""
    torch.manual_seed(0)
    weight = torch.randn(shape)
    got, exact = nf4(weight.to(device)).dequantised(torch.float32).cpu().double(), by_hand(weight)
    # 8-bit scales are off by a few per cent at most; levels that follow from them are not
    scales = exact.view(-1, 64).abs().amax(1, keepdim=True)
    assert ((got - exact).view(-1, 64).abs() / scales).max() < 0.05
    same_level = (got.sign() == exact.sign()).double().mean()
    assert same_level > 0.999


@pytest.mark.parametrize("device", DEVICES)
def test_slices_change_nothing(device: str, monkeypatch: pytest.MonkeyPatch):
    """Against bitsandbytes' own double quantisation in one call; a card's Triton kernel may fuse where bitsandbytes' rounds twice."""
    torch.manual_seed(0)
    weight, functional = torch.randn(192, 64).to(device), qlora.bitsandbytes_functional()
    monkeypatch.setattr(qlora, "SLICE", 5 * 64 * 16)
    codes, state = functional.quantize_4bit(weight, blocksize=64, compress_statistics=True, quant_type="nf4")
    layer = nf4(weight)
    assert torch.equal(layer.codes, codes)
    assert_close(layer.dequantised(torch.float32), functional.dequantize_4bit(codes, state), rtol=0 if device == "cpu" else 1e-6, atol=0)


def test_a_weight_takes_four_bits_and_its_share_of_the_scales():
    """4 + 8/64 + 32/(64 * 256) = 4.127 bits."""
    layer = nf4(torch.randn(512, 512))
    stored = layer.codes.nbytes + layer.scales.absmax.nbytes + layer.scales.state2.absmax.nbytes
    assert stored * 8 / 512**2 == pytest.approx(4.127, abs=1e-3)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("bias", [None, torch.tensor([0.5] * 128)], ids=["plain", "bias"])
def test_output_and_gradient_are_those_of_the_dequantised_matrix(bias: Tensor | None, device: str):
    torch.manual_seed(0)
    bias = None if bias is None else bias.to(device)
    layer = nf4(torch.randn(128, 64).to(device), bias)
    x = torch.randn(3, 5, 64).to(device).requires_grad_()
    layer(x).square().sum().backward()
    again = x.detach().requires_grad_()
    nn.functional.linear(again, layer.dequantised(torch.float32), bias).square().sum().backward()
    assert_close(x.grad, again.grad, atol=1e-3, rtol=1e-5)  # numbers of about 200


def test_layers_that_share_the_room_do_not_disturb_each_other():
    """The room holds one weight: a group's matmuls come one after the other, in the backward pass too."""
    torch.manual_seed(0)
    workspace = Workspace()
    layers = [NF4Linear(nn.Linear(64, width, bias=False), workspace) for width in (128, 64, 192)]
    room = workspace.room
    for layer in layers:
        layer.store(torch.randn(layer.out_features, 64), "layer")
        layer.dequantised = lambda dtype, made=layer.dequantised: room(made(dtype).shape, dtype, torch.device("cpu")).copy_(made(dtype))
    x, again = (torch.full((4, 64), 0.3, requires_grad=True) for _ in range(2))
    sum(y.square().sum() for y in project(derive(torch.tanh, x), *layers)).backward()
    sum(nn.functional.linear(torch.tanh(again), layer.dequantised(torch.float32).clone()).square().sum() for layer in layers).backward()
    assert_close(x.grad, again.grad)
    assert len({layer.dequantised(torch.float32).data_ptr() for layer in layers}) == 1


def test_a_missing_bitsandbytes_is_one_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(ValueError, match=r"bitsandbytes is not installed .*: pip install bitsandbytes"):
        qlora.bitsandbytes_functional.__wrapped__()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_weight_that_is_not_finite_is_named(bad: float):
    weight = torch.randn(64, 64)
    weight[3, 5] = bad
    with pytest.raises(ValueError, match=r"model\.layers\.0\.x: holds NaN or infinite weights"):
        NF4Linear(nn.Linear(64, 64), Workspace()).store(weight, "model.layers.0.x")


def test_head_embeddings_and_norms_stay_as_they_are():
    model = tiny_model(dtype=torch.float32)
    layers = empty_nf4(model)
    assert len(layers) == 2 * 7
    kept = {name for name, _ in model.named_parameters()}
    assert {"lm_head.weight", "model.embed_tokens.weight", "model.norm.weight"} < kept
    assert not kept & layers.keys()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Qwen2 with biases, two files, and a tokenizer."""
    folder = tmp_path_factory.mktemp("base")
    tiny_models.write("qwen2.5", folder, max_shard_size="60KB")
    return folder


def test_a_folder_in_several_files_is_quantised_tensor_by_tensor(base: Path):
    """Biases and matrices may lie in different files."""
    assert len(list(base.glob("*.safetensors"))) > 1
    model, whole = (load_model(base, dtype=torch.float32, device="cpu", quantization=q) for q in ("nf4", None))
    for name, layer in [(name, module) for name, module in model.named_modules() if isinstance(module, NF4Linear)]:
        weight = whole.get_submodule(name).weight
        assert (layer.dequantised(torch.float32) - weight).abs().max() < 0.2 * weight.abs().max()
    difference = (model.logits(PACKED) - whole.logits(PACKED)).abs().mean() / whole.logits(PACKED).abs().mean()
    assert 0 < difference < 0.5


@pytest.fixture
def chat_base(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "vocab_size": 400, "num_attention_heads": 4}
    LlamaForCausalLM(LlamaConfig(**sizes, num_key_value_heads=2)).save_pretrained(tmp_path / "base")
    return tiny_tokenizer.chatml(tmp_path / "base")


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("use_dora", [False, True])
def test_adapters_learn_on_it_as_peft_s_do_on_bitsandbytes_own_layer(use_dora: bool, device: str, chat_base: Path):
    """Logits and every adapter gradient against transformers + PEFT with Linear4bit, whose CPU kernel wants rows of a multiple of 64."""
    four_bits = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.float32
    )
    theirs = AutoModelForCausalLM.from_pretrained(chat_base, quantization_config=four_bits, dtype=torch.float32, device_map=device)
    cfg = LoRAConfig(rank=4, alpha=8.0, use_dora=use_dora)
    theirs.enable_input_require_grads()  # without a gradient bitsandbytes takes a coarser kernel
    theirs = peft.get_peft_model(theirs, peft.LoraConfig(r=4, lora_alpha=8, target_modules=list(cfg.targets), use_dora=use_dora))
    ours, packed = load_model(chat_base, dtype=torch.float32, device=device, quantization="nf4"), PACKED.to(device)
    add_lora(ours, cfg, seed=0)
    torch.manual_seed(0)
    pairs = []
    named = dict(theirs.named_parameters())
    for name, parameter in lora_parameters(ours).items():
        twin = named[f"base_model.model.{name}.default.weight"]
        with torch.no_grad():
            twin.copy_(parameter.normal_(std=0.1))
        pairs.append((parameter, twin))
    logits = theirs(torch.arange(40, device=device)[None]).logits[0]
    assert_close(ours.logits(packed), logits, atol=2e-5, rtol=1e-5)
    ours(packed).sum().backward()
    logits.log_softmax(-1)[7:39].gather(1, torch.arange(8, 40, device=device)[:, None]).sum().backward()
    for parameter, twin in pairs:
        assert_close(parameter.grad, twin.grad, atol=1e-4, rtol=1e-4)


def trained(base: Path, folder: Path, **knobs: object) -> CausalLM:
    """The model of a run on nf4 whose step 1 is in `folder`."""
    model = load_model(base, dtype=torch.float32, device="cpu", quantization="nf4")
    add_lora(model, LoRAConfig(rank=4, **knobs), seed=0)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    checkpoint.save(folder, 1, lambda step: save_adapter(model, step, str(base)))
    (folder / "run.json").write_text(json.dumps({"config": {"model": {"quantization": "nf4"}}}), "utf-8")
    return model


@pytest.mark.parametrize("knobs", [{}, {"use_dora": True, "modules_to_save": ("embed_tokens", "lm_head", "norm")}], ids=str)
def test_a_saved_adapter_comes_back_and_peft_reads_it(knobs: dict[str, object], base: Path, tmp_path: Path):
    """INVARIANT 35 on nf4."""
    model = trained(base, tmp_path, **knobs)
    again = load_model(base, dtype=torch.float32, device="cpu", quantization="nf4")
    load_adapter(again, tmp_path / "step-000001")
    assert torch.equal(again.logits(PACKED), model.logits(PACKED))
    assert peft.PeftConfig.from_pretrained(tmp_path / "step-000001").r == 4


def test_an_adapter_is_never_merged_into_four_bits(base: Path, tmp_path: Path):
    """INVARIANT 36."""
    with pytest.raises(ValueError, match=r"is in nf4, which merging would round anew; merge into the 16-bit folder"):
        merge_lora(trained(base, tmp_path))


@pytest.mark.parametrize("use_dora", [False, True])
def test_export_merges_into_the_original_base_and_says_so(
    use_dora: bool, chat_base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """INVARIANT 36: which base, and the largest change of a logit against what was trained."""
    run = tmp_path / "run"
    run.mkdir()
    trained(chat_base, run, use_dora=use_dora, modules_to_save=("lm_head",))
    assert export.main(["--checkpoint", str(run / "step-000001"), "--merge", str(tmp_path / "out"), "--dtype", "float32"]) == 0
    said = capsys.readouterr().out
    assert "trained on nf4; merging into the original weights in float32, not into dequantised ones" in said
    moved = float(said.partition("merging moves it by up to ")[2].split()[0])
    assert moved > 1e-3, "nf4 and the original weights differ"

    name = "model.layers.1.mlp.up_proj"
    tensors = load_file(run / "step-000001" / "adapter_model.safetensors")
    lora_A, lora_B = (tensors[f"base_model.model.{name}.lora_{kind}.weight"] for kind in "AB")
    original, merged = (load_file(folder / "model.safetensors")[f"{name}.weight"] for folder in (chat_base, tmp_path / "out"))
    expected = original + 32 / 4 * lora_B @ lora_A
    if use_dora:
        expected *= (tensors[f"base_model.model.{name}.lora_magnitude_vector"] / expected.norm(dim=1))[:, None]
    assert_close(merged, expected)
    head = load_file(tmp_path / "out" / "model.safetensors")["lm_head.weight"]
    assert torch.equal(head, tensors["base_model.model.lm_head.weight"])


def test_a_run_on_nf4_is_loaded_on_nf4_unless_another_dtype_is_asked_for(chat_base: Path, tmp_path: Path):
    run = tmp_path / "run"
    run.mkdir()
    expected = trained(chat_base, run).logits(PACKED)
    for dtype in ("auto", "nf4"):
        loaded = loading.load(run / "step-000001", dtype=dtype, device="cpu")
        assert loaded.dtype.startswith("nf4 in ")
        assert_close(loaded.model.logits(PACKED), expected, atol=0.3, rtol=0)  # auto may compute in bfloat16
        assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
    merged = loading.load(run / "step-000001", dtype="float32", device="cpu")
    assert merged.dtype == "float32"
    assert not any(isinstance(module, NF4Linear) for module in merged.model.modules())
    assert loading.load(chat_base, dtype="nf4", device="cpu").dtype.startswith("nf4 in ")


LOADING = """
import json, re, sys, threading, time
from pathlib import Path
import torch
from vgpt2.qlora import bitsandbytes_functional
from vgpt2.weights import load_model
bitsandbytes_functional().quantize_4bit(torch.randn(1 << 20), quant_type="nf4")  # what bitsandbytes loads once
def anonymous():
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
before, peak, done = anonymous(), 0, False
def watch():
    global peak
    while not done:
        peak = max(peak, anonymous())
        time.sleep(0.001)
thread = threading.Thread(target=watch)
thread.start()
model = load_model(sys.argv[1], dtype=torch.bfloat16, device="cpu", quantization="nf4")
done = True
thread.join()
print(json.dumps({"peak": peak - before, "after": anonymous() - before}))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_loading_never_holds_the_sixteen_bit_model(tmp_path: Path):
    """The process's own memory; pages of the mapped file are the system's and go when it wants them back."""
    from vgpt2.model_config import ModelConfig

    cfg = ModelConfig("llama", 512, 1024, 4096, 5, 8, 8, 128, tie_word_embeddings=False)
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in CausalLM(cfg).state_dict().items()}
    random = torch.randn(4096, 1024, dtype=torch.bfloat16) * 0.02
    whole = {name: random.flatten()[: shape.numel()].clone().view(shape) for name, shape in shapes.items()}
    homes = {name: f"model-0000{index % 2 + 1}-of-00002.safetensors" for index, name in enumerate(whole)}
    for file in set(homes.values()):
        save_file({name: whole[name] for name, home in homes.items() if home == file}, tmp_path / file)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": homes}), "utf-8")
    (tmp_path / "config.json").write_text(json.dumps(cfg.to_hf("bfloat16")), "utf-8")
    total = sum(tensor.nbytes for tensor in whole.values())
    del whole
    done = subprocess.run([sys.executable, "-c", LOADING, str(tmp_path)], capture_output=True, text=True, check=True)
    measured = json.loads(done.stdout)
    print(f"{total / 2**20:.0f} MiB in bfloat16, peak {measured['peak'] / 2**20:.0f}, after {measured['after'] / 2**20:.0f}")
    assert total > 150 * 2**20
    # 4.127 of 16 bits, and room for one tensor, one slice and what the allocator keeps: 91 to 114 MiB were seen of 162
    assert measured["peak"] < 0.26 * total + 96 * 2**20 < 0.9 * total
    assert "get_kernel" not in done.stderr
