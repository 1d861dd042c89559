"""From base and adapter to one folder that plain transformers loads."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_tokenizer
import torch
from torch.testing import assert_close
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from vgpt2 import export, weights
from vgpt2.adapter_files import load_adapter, save_adapter
from vgpt2.config import LoRAConfig
from vgpt2.lora import add_lora, lora_parameters

IDS = torch.tensor([[5, 9, 2, 40, 31, 7, 7, 0, 96, 12]])


@pytest.fixture
def base(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=64, intermediate_size=96, num_hidden_layers=2, vocab_size=400, num_attention_heads=4, num_key_value_heads=2,
        tie_word_embeddings=True,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(tmp_path / "base")
    return tiny_tokenizer.chatml(tmp_path / "base")


@pytest.fixture
def adapter(tmp_path: Path, base: Path) -> Path:
    model = weights.load_model(base, dtype=torch.float32, device="cpu")
    add_lora(model, LoRAConfig(rank=4, alpha=8.0), seed=0)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in lora_parameters(model).values():
            parameter.add_(0.05 * torch.randn_like(parameter))
    save_adapter(model, tmp_path / "adapter", str(base))
    return tmp_path / "adapter"


@torch.no_grad()
def logits(model: torch.nn.Module) -> torch.Tensor:
    return model.eval()(IDS).logits


@pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-5), ("bfloat16", 0.05)])
def test_plain_transformers_loads_the_merged_folder_with_the_adapter_s_logits(
    base: Path, adapter: Path, tmp_path: Path, dtype: str, tolerance: float, capsys: pytest.CaptureFixture[str]
):
    """INVARIANTS 36 and 37 (tied head)."""
    out = tmp_path / "exports" / "merged"
    assert export.main(["--checkpoint", str(adapter), "--merge", str(out), "--dtype", dtype]) == 0
    merged, bare = AutoModelForCausalLM.from_pretrained(out, dtype="auto"), AutoModelForCausalLM.from_pretrained(base)
    assert str(merged.dtype) == f"torch.{dtype}"
    load_adapter(attached := AutoModelForCausalLM.from_pretrained(base), adapter)
    assert_close(logits(merged).float(), logits(attached), atol=tolerance, rtol=0)
    assert (logits(merged) - logits(bare)).abs().max() > 0.1
    text = "SELECT APTH.Mth FROM APTH WITH (NOLOCK)"
    assert AutoTokenizer.from_pretrained(out).encode(text) == AutoTokenizer.from_pretrained(base).encode(text)
    printed = capsys.readouterr().out
    assert "the adapter moves a logit of the probe by up to " in printed
    assert "merging moves it by up to " in printed
    assert f"parameters in {dtype}, base {base}" in printed
    assert [path.name for path in out.parent.iterdir()] == ["merged"]


def test_the_dtype_is_the_base_s_where_none_is_asked_for(base: Path, adapter: Path, tmp_path: Path):
    config = json.loads((base / "config.json").read_text("utf-8"))
    config["dtype"] = "bfloat16"
    (base / "config.json").write_text(json.dumps(config), "utf-8")
    export.export(adapter, tmp_path / "out", base=None, dtype=None)
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype="auto").dtype == torch.bfloat16


def test_the_base_may_be_given_by_hand(base: Path, adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    moved = shutil.move(base, tmp_path / "moved")
    command = ["--checkpoint", str(adapter), "--merge", str(tmp_path / "out")]
    assert export.main(command) == 2
    assert "is not a folder here; give it with --base DIR" in capsys.readouterr().err
    assert export.main([*command, "--base", str(moved)]) == 0


def refused(capsys: pytest.CaptureFixture[str], source: Path, out: Path) -> str:
    assert export.main(["--checkpoint", str(source), "--merge", str(out)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_mistakes_are_one_line_and_leave_nothing(base: Path, adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "out"
    assert "nowhere" in refused(capsys, tmp_path / "nowhere", out)
    assert "holds a whole model and no adapter" in refused(capsys, base, out)
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("keep", "utf-8")
    assert "exists already" in refused(capsys, adapter, full)
    assert (full / "mine.txt").read_text("utf-8") == "keep"
    (adapter / "adapter_model.safetensors").write_bytes(b"12345678")
    assert "is damaged" in refused(capsys, adapter, out)
    assert {path.name for path in tmp_path.iterdir()} == {"base", "adapter", "full"}


def test_a_disk_too_small_is_said_before_the_model_loads(
    base: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(export.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    monkeypatch.setattr(weights, "load_model", lambda *_, **__: pytest.fail("the model was loaded"))
    assert "GB are free; free some" in refused(capsys, adapter, tmp_path / "out")


def test_an_interrupt_leaves_nothing_and_says_so(
    base: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(weights, "save_model", interrupt)
    assert export.main(["--checkpoint", str(adapter), "--merge", str(tmp_path / "out")]) == 130
    assert "the same command starts again" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"base", "adapter"}


def test_help_imports_nothing_heavy():
    """INVARIANT 47."""
    heavy = "assert not {'torch', 'transformers', 'safetensors'} & set(sys.modules)"
    script = f"import sys\nfrom vgpt2 import export\ntry:\n    export.main(['--help'])\nfinally:\n    {heavy}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "examples:" in done.stdout
