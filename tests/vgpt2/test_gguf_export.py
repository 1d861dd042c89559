"""From a model folder to a GGUF, read by transformers' own loader and by our importer."""

import json
from pathlib import Path

import numpy as np
import pytest
import tiny_tokenizer
import torch
from gguf import GGUFReader
from tiny_models import LLAMA3_ROPE
from tokenizers import Regex, Tokenizer, pre_tokenizers
from torch.testing import assert_close
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from vgpt2 import export, gguf_import
from vgpt2.generate import generate
from vgpt2.gguf_export import SPLITS, permute, write_gguf
from vgpt2.tokenizer import ChatTokenizer
from vgpt2.weights import load_model

IDS = torch.tensor([[5, 9, 2, 40, 31, 7, 7, 0, 96, 12]])
SIZES = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
FAMILIES = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(vocab_size=400, tie_word_embeddings=True, **SIZES)),
    "llama-3.1": lambda: LlamaForCausalLM(LlamaConfig(vocab_size=400, rope_parameters=LLAMA3_ROPE, **SIZES)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(vocab_size=410, tie_word_embeddings=False, **SIZES)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(vocab_size=400, tie_word_embeddings=True, head_dim=128, **SIZES)),
}


def model_folder(folder: Path, family: str) -> Path:
    """A random model of the family, large enough weights, with a tokenizer that cuts text as the family's does."""
    torch.manual_seed(0)
    model = FAMILIES[family]()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    tiny_tokenizer.chatml(folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=family == "llama")
    pattern = next(pattern for pattern, name in SPLITS.items() if name == "qwen2")
    first = pre_tokenizers.Digits(individual_digits=True) if family == "llama" else pre_tokenizers.Split(Regex(pattern), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([first, byte_level])
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@torch.no_grad()
def logits(model: torch.nn.Module) -> torch.Tensor:
    return model.eval()(IDS).logits.float()


@pytest.mark.parametrize(("kind", "tolerance"), [("F16", 2e-2), ("BF16", 1e-1), ("Q8_0", 1.5e-1)])
@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
def test_transformers_own_reader_finds_the_model_again(family: str, kind: str, tolerance: float, tmp_path: Path):
    """Logits of a foreign loader that undoes llama.cpp's names and row order by itself; a wrong permutation is off by more than 1."""
    folder = model_folder(tmp_path / "model", family)
    write_gguf(folder, tmp_path / "out" / "model.gguf", kind=kind)
    expected = logits(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32))
    found = logits(AutoModelForCausalLM.from_pretrained(tmp_path / "out", gguf_file="model.gguf", dtype=torch.float32))
    assert_close(found, expected, atol=tolerance, rtol=0)
    assert expected.std() > 5 * tolerance


def test_our_importer_finds_weights_and_tokenizer_again(tmp_path: Path):
    folder = model_folder(tmp_path / "model", "llama")
    write_gguf(folder, tmp_path / "model.gguf", kind="F16")
    (tmp_path / "back").mkdir()
    gguf_import.convert(tmp_path / "model.gguf", tmp_path / "back")
    there, back = (AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).state_dict() for path in (folder, tmp_path / "back"))
    for name, weight in there.items():
        assert_close(back[name], weight.half().float() if weight.dim() > 1 else weight, atol=0, rtol=0)
    tokenizers = [Tokenizer.from_file(str(path / "tokenizer.json")) for path in (folder, tmp_path / "back")]
    text = "<|im_start|>SELECT APTH.Mth FROM APTH WHERE APCo = 12345 -- vendör"
    assert tokenizers[0].encode(text).ids == tokenizers[1].encode(text).ids


def test_permutation_by_hand():
    """One head of four channels: halves (0, 1 | 2, 3) become pairs (0, 2), (1, 3)."""
    assert permute(np.arange(4)[:, None], 1)[:, 0].tolist() == [0, 2, 1, 3]
    assert gguf_import.unpermute(permute(np.arange(24).reshape(12, 2), 3), 3).tolist() == np.arange(24).reshape(12, 2).tolist()


def test_ids_beyond_the_tokenizer_are_filled_up_as_unused(tmp_path: Path):
    folder = model_folder(tmp_path / "model", "qwen2")
    write_gguf(folder, tmp_path / "model.gguf", kind="F16")
    fields = GGUFReader(tmp_path / "model.gguf").fields
    tokens, kinds = fields["tokenizer.ggml.tokens"].contents(), fields["tokenizer.ggml.token_type"].contents()
    assert len(tokens) == len(kinds) == 410
    assert (tokens[405], kinds[405]) == ("[PAD405]", 5)
    assert fields["tokenizer.ggml.pre"].contents() == "qwen2"
    assert tokens[fields["tokenizer.ggml.eos_token_id"].contents()] == "<|im_end|>"
    assert "<|im_start|>" in fields["tokenizer.chat_template"].contents()


def test_llama_3_s_rotary_rule_is_a_tensor_that_llama_cpp_divides_frequencies_by(tmp_path: Path):
    """Against transformers' frequencies; channel 0 turns fast and is kept, the last one turns slowly and is slowed eight times."""
    folder, frequencies = model_folder(tmp_path / "model", "llama-3.1"), ROPE_INIT_FUNCTIONS["llama3"](FAMILIES["llama-3.1"]().config)[0]
    write_gguf(folder, tmp_path / "model.gguf", kind="Q8_0")
    reader = GGUFReader(tmp_path / "model.gguf")
    (factors,) = [tensor.data for tensor in reader.tensors if tensor.name == "rope_freqs.weight"]
    assert reader.fields["llama.rope.freq_base"].contents() == 500_000
    assert_close(torch.tensor(factors) * frequencies, 500_000.0 ** -(torch.arange(8) / 8))
    assert (factors[0], factors[-1]) == (1, 8)
    assert len(set(factors.tolist())) > 2


def test_yarn_is_written_by_its_two_numbers_and_refused_with_others(tmp_path: Path):
    folder, out = model_folder(tmp_path / "model", "llama"), tmp_path / "model.gguf"
    config = json.loads((folder / "config.json").read_text("utf-8"))
    yarn = {"rope_type": "yarn", "rope_theta": 1e6, "factor": 4.0, "original_max_position_embeddings": 128}
    (folder / "config.json").write_text(json.dumps(config | {"rope_parameters": yarn}), "utf-8")
    write_gguf(folder, out, kind="F16")
    fields = GGUFReader(out).fields
    named = {key: fields[f"llama.rope.scaling.{key}"].contents() for key in ("type", "factor", "original_context_length")}
    assert named == {"type": "yarn", "factor": 4.0, "original_context_length": 128}
    (folder / "config.json").write_text(json.dumps(config | {"rope_parameters": yarn | {"beta_fast": 16.0}}), "utf-8")
    with pytest.raises(ValueError, match="yarn with betas"):
        write_gguf(folder, tmp_path / "other.gguf", kind="F16")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "model.gguf"]


def test_what_llama_cpp_has_no_name_for_is_refused_and_nothing_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = model_folder(tmp_path / "model", "llama")
    out = tmp_path / "out" / "model.gguf"
    content = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    content["pre_tokenizer"] = {"type": "Whitespace"}
    (folder / "tokenizer.json").write_text(json.dumps(content), "utf-8")
    assert export.main(["--checkpoint", str(folder), "--gguf", str(out)]) == 2
    assert "no name in llama.cpp" in capsys.readouterr().err
    assert list(out.parent.iterdir()) == []


def test_the_command_says_how_exact_the_file_is_and_overwrites_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder, out = model_folder(tmp_path / "model", "llama"), tmp_path / "model.gguf"
    call = ["--checkpoint", str(folder), "--gguf", str(out), "--gguf-type", "Q8_0"]
    assert export.main(call) == 0
    assert "differs from" in capsys.readouterr().out
    assert export.main(call) == 2
    assert "exists already" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        export.main(["--checkpoint", str(folder)])


def test_llama_cpp_cuts_text_and_answers_as_we_do(tmp_path: Path):
    """Greedy, token for token, by the engine that the file is for; its package is built from source, so it is no part of the install."""
    llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    folder = Path("checkpoints/models/smollm2-135m-instruct")
    if not folder.is_dir():
        pytest.skip("the embedded model is not here: python -m vgpt2.embedded")
    write_gguf(folder, tmp_path / "model.gguf", kind="F16")
    tokenizer, model = ChatTokenizer.load(folder, system=None), load_model(folder, dtype=torch.float32, device="cpu")
    theirs = llama_cpp.Llama(str(tmp_path / "model.gguf"), n_ctx=256, n_threads=1, verbose=False)
    for question in ("Does table APTH exist?", "Write a query that sums 12345 invoices.", "Was heißt Gläubiger?"):
        prompt = tokenizer.prompt([{"role": "user", "content": question}])
        assert theirs.tokenize(tokenizer.decode(prompt, controls=True).encode(), add_bos=False, special=True) == prompt
        (expected,) = generate(model, [prompt], max_new_tokens=24, eos_ids=tokenizer.eos_ids, token_budget=256)
        answer = []
        for token in theirs.generate(prompt, temp=0.0, top_k=1, repeat_penalty=1.0):
            if token == theirs.token_eos() or len(answer) == 24:
                break
            answer.append(token)
        theirs.reset()
        assert answer == expected
