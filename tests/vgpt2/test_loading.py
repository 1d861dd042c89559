"""Which model, adapter and system prompt a folder means."""

import json

import pytest
import torch
from torch.testing import assert_close

from vgpt2 import checkpoint, loading
from vgpt2.adapter_files import save_adapter
from vgpt2.config import DEFAULT_SYSTEM, LoRAConfig
from vgpt2.lora import add_lora, lora_parameters
from vgpt2.packing import pack
from vgpt2.tiny import write_tiny
from vgpt2.weights import load_model

PACKED = pack([(list(range(40)), [False] * 40)])


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    write_tiny(folder)
    return folder


@pytest.fixture
def adapter(base, tmp_path):
    """An adapter folder and the logits of the model that wears it."""
    model = load_model(base, dtype=torch.float32, device="cpu")
    add_lora(model, LoRAConfig(rank=2), seed=0)
    torch.manual_seed(0)
    for parameter in lora_parameters(model).values():
        torch.nn.init.normal_(parameter, std=0.2)
    save_adapter(model, tmp_path / "adapter", str(base))
    with torch.no_grad():
        return tmp_path / "adapter", model.logits(PACKED)


def logits(loaded: loading.Loaded) -> torch.Tensor:
    with torch.no_grad():
        return loaded.model.logits(PACKED)


def test_an_adapter_is_merged_into_its_base(base, adapter):
    folder, expected = adapter
    for loaded in (loading.load(folder, dtype="float32", device="cpu"), loading.load(base, adapter=folder, dtype="float32", device="cpu")):
        assert_close(logits(loaded), expected, atol=1e-4, rtol=1e-4)
        assert not loaded.model.training
        assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
        assert loaded.fingerprints.keys() == {"model", "template", "adapter"}
    bare = loading.load(base, dtype="float32", device="cpu")
    assert (logits(bare) - expected).abs().max() > 0.01
    assert bare.fingerprints.keys() == {"model", "template"}


def test_fingerprints_do_not_know_the_place_and_know_the_bytes(base, adapter, tmp_path):
    folder, _ = adapter
    before = loading.load(folder, dtype="float32", device="cpu").fingerprints
    moved = folder.rename(tmp_path / "moved")
    assert loading.load(moved, dtype="float32", device="cpu").fingerprints == before
    assert loading.load(moved, system="Another.", dtype="float32", device="cpu").fingerprints["template"] != before["template"]


def test_the_system_prompt_is_that_of_the_run_else_the_default(adapter, base, tmp_path):
    plain, _ = adapter
    run = tmp_path / "run"
    run.mkdir()

    def write(step):
        step.mkdir(exist_ok=True)
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            (step / name).write_bytes((plain / name).read_bytes())

    checkpoint.point(run, "latest", checkpoint.save(run, 1, write))
    for system, expected in (("Mine.", "Mine."), (None, None)):
        (run / "run.json").write_text(json.dumps({"config": {"data": {"system": system}}}), "utf-8")
        assert loading.load(run / "latest", dtype="float32", device="cpu").tokenizer.system == expected
    assert loading.load(plain, dtype="float32", device="cpu").tokenizer.system == DEFAULT_SYSTEM
    assert loading.load(base, dtype="float32", device="cpu").tokenizer.system == DEFAULT_SYSTEM
    assert loading.load(base, system="", dtype="float32", device="cpu").tokenizer.system is None
    assert loading.load(run, system="Given.", dtype="float32", device="cpu").tokenizer.system == "Given."


def test_what_cannot_be_loaded_is_one_line(base, adapter, tmp_path):
    folder, _ = adapter
    with pytest.raises(ValueError, match="is an adapter itself"):
        loading.load(folder, adapter=folder)
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="device cuda: torch sees no GPU"):
            loading.load(base, device="cuda")
    config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    (folder / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": "no/such"}), "utf-8")
    with pytest.raises(ValueError, match="its base model 'no/such' is no folder here; give it with --base DIR"):
        loading.load(folder)
    assert loading.load(folder, base=base, dtype="float32", device="cpu").model.cfg.vocab_size == 2048
