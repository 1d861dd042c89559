"""Model folders: in from transformers, out to transformers, and what is refused."""

import json
import os
import random
import shutil
import stat

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tiny_models import FAMILIES, VOCAB, write
from torch.testing import assert_close

from vgpt2.model import CausalLM, ModelConfig
from vgpt2.packing import pack
from vgpt2.weights import check_finite, check_folder, load_model, read_config, save_model, staged_folder

IDS = list(range(3, 40))


def logits(model):
    with torch.no_grad():
        return model.logits(pack([(IDS, [True] * len(IDS))]))


def load(folder, dtype=torch.float32):
    return load_model(folder, dtype=dtype, device="cpu")


@pytest.fixture
def folder(tmp_path):
    write("llama", tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_goes_from_transformers_to_us_and_back_unchanged(family, tmp_path):
    """INVARIANTS 37: tied and untied."""
    theirs = write(family, tmp_path / "theirs")
    ours = load(tmp_path / "theirs")
    with torch.no_grad():
        expected = theirs(torch.tensor([IDS])).logits[0]
    assert_close(logits(ours), expected, rtol=1e-4, atol=1e-4)
    save_model(ours, tmp_path / "ours")
    again, info = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert again.dtype == torch.float32
    for (name, one), (other_name, other) in zip(theirs.state_dict().items(), again.state_dict().items()):
        assert name == other_name
        assert torch.equal(one, other), name
    assert torch.equal(logits(load(tmp_path / "ours")), logits(ours))
    assert ("lm_head.weight" in load_file(tmp_path / "ours" / "model.safetensors")) is not ours.cfg.tie_word_embeddings


@pytest.mark.parametrize("family", ["llama", "smollm2"])
def test_trained_embeddings_and_a_larger_vocabulary_round_trip(family, tmp_path):
    """INVARIANTS 37: one step on the embedding (and head), vocabulary resized by transformers beforehand."""
    theirs = write(family, tmp_path / "theirs")
    theirs.resize_token_embeddings(VOCAB + 7, mean_resizing=False)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = load(tmp_path / "theirs")
    assert ours.cfg.vocab_size == VOCAB + 7
    ours(pack([(IDS, [True] * len(IDS))])).sum().backward()
    torch.optim.SGD(ours.parameters(), lr=1e-2).step()
    save_model(ours, tmp_path / "ours")
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours")
    tied = ours.cfg.tie_word_embeddings
    assert (again.lm_head.weight is again.model.embed_tokens.weight) is tied
    assert (ours.lm_head.weight is ours.model.embed_tokens.weight) is tied
    assert torch.equal(again.lm_head.weight, ours.lm_head.weight)
    assert not torch.equal(again.model.embed_tokens.weight, theirs.model.embed_tokens.weight)
    with torch.no_grad():
        assert_close(again(torch.tensor([IDS])).logits[0], logits(ours), rtol=1e-4, atol=1e-4)


def test_sharded_folders_are_read_and_written(tmp_path):
    theirs = write("qwen2.5", tmp_path / "theirs", max_shard_size="60KB")
    assert len(list((tmp_path / "theirs").glob("*.safetensors"))) > 2
    ours = load(tmp_path / "theirs")
    save_model(ours, tmp_path / "ours", max_shard_bytes=60_000)
    files = sorted((tmp_path / "ours").glob("*.safetensors"))
    assert len(files) > 2
    assert all(sum(tensor.nbytes for tensor in load_file(file).values()) <= 60_000 for file in files)
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours")
    assert all(torch.equal(one, other) for one, other in zip(theirs.state_dict().values(), again.state_dict().values()))
    assert torch.equal(logits(load(tmp_path / "ours")), logits(ours))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_weights_come_in_the_asked_dtype_and_leave_in_it(dtype, folder, tmp_path):
    ours = load(folder, dtype)
    assert {parameter.dtype for parameter in ours.parameters()} == {dtype}
    assert torch.equal(ours.model.norm.weight, load(folder).model.norm.weight.to(dtype))
    save_model(ours, tmp_path / "ours")
    assert json.loads((tmp_path / "ours/config.json").read_text("utf-8"))["torch_dtype"] == str(dtype).removeprefix("torch.")
    assert transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours", dtype="auto").dtype == dtype


def test_loaded_weights_do_not_hang_on_the_file(folder):
    ours = load(folder)
    before = logits(ours)
    with open(folder / "model.safetensors", "r+b") as file:
        file.seek(5000)
        file.write(b"\xff" * 20_000)
    assert torch.equal(logits(ours), before)


def test_tokenizer_files_come_along_and_nothing_else(folder, tmp_path):
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "modeling_evil.py", "optimizer.pt"):
        (folder / name).write_text(name, encoding="utf-8")
    save_model(load(folder), tmp_path / "out", tokenizer_from=folder)
    expected = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}
    assert {path.name for path in (tmp_path / "out").iterdir()} - {"generation_config.json"} == expected
    assert (tmp_path / "out/tokenizer.json").read_text("utf-8") == "tokenizer.json"


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_weights_are_as_readable_as_the_config(folder, tmp_path):
    save_model(load(folder), tmp_path / "out")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "out").iterdir()}
    assert len(modes) == 1


def edit(folder, change):
    """Rewrites the weights through `change(dict of tensors)`."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), encoding="utf-8")


def drop_four(tensors):
    for i in range(2):
        del tensors[f"model.layers.{i}.mlp.up_proj.weight"], tensors[f"model.layers.{i}.mlp.down_proj.weight"]


Q_BIAS = "model.layers.0.self_attn.q_proj.bias"
REFUSALS = {
    "four weights are missing": (lambda f: edit(f, drop_four), "lack .*up_proj.*and 1 more"),
    "the untied head is missing": (lambda f: edit(f, lambda t: t.pop("lm_head.weight")), r"lack lm_head\.weight"),
    "a weight has no place": (lambda f: edit(f, lambda t: t.update({Q_BIAS: torch.zeros(64)})), "hold model.*q_proj.bias"),
    "a shape disagrees": (lambda f: config(f, intermediate_size=95), r"shapes disagree .*\[96, 64\] not \[95, 64\]"),
    "the vocabulary disagrees": (lambda f: config(f, vocab_size=98), r"embed_tokens.*\[97, 64\] not \[98, 64\]"),
    "weights are integers": (lambda f: edit(f, lambda t: t.update({"lm_head.weight": torch.ones(97, 64, dtype=torch.int8)})), "as I8"),
    "a tied head differs": (lambda f: config(f, tie_word_embeddings=True), "differs from the embedding"),
    "there is no weight file": (lambda f: (f / "model.safetensors").unlink(), "holds neither"),
    "there are pickled weights only": (
        lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"),
        "holds pytorch_model.bin, a pickle",
    ),
    "the weights are cut": (lambda f: os.truncate(f / "model.safetensors", 9000), "is damaged"),
    "the weights are empty": (lambda f: os.truncate(f / "model.safetensors", 0), "is damaged"),
    "the weights are a folder": (
        lambda f: ((f / "model.safetensors").unlink(), (f / "model.safetensors").mkdir()),
        "not a plain file",
    ),
    "there is no config": (lambda f: (f / "config.json").unlink(), r"config\.json: no such file"),
    "the config is not JSON": (lambda f: (f / "config.json").write_text("{"), "is not JSON"),
    "the config is no text": (lambda f: (f / "config.json").write_bytes(b"\xff\xfe{}"), "is not JSON"),
    "the config is deep": (lambda f: (f / "config.json").write_text("[" * 100_000), "nested too deeply|is not JSON"),
    "there is no folder": (lambda f: shutil.rmtree(f), "no such model folder"),
}


@pytest.mark.parametrize("fault", REFUSALS)
def test_a_folder_that_does_not_fit_is_refused_in_one_line(fault, folder):
    damage, message = REFUSALS[fault]
    damage(folder)
    with pytest.raises(ValueError, match=message) as refusal:
        load(folder)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value).replace(str(folder), "DIR")) <= 200


def test_a_tied_head_that_equals_the_embedding_and_old_rotary_tables_are_accepted(tmp_path):
    write("smollm2", tmp_path)
    extra = {"lm_head.weight": "model.embed_tokens.weight"}
    edit(tmp_path, lambda t: t.update({new: t[old].clone() for new, old in extra.items()}))
    edit(tmp_path, lambda t: t.update({"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(8)}))
    ours = load(tmp_path)
    assert ours.lm_head.weight is ours.model.embed_tokens.weight


def index_of(folder):
    path = folder / "model.safetensors.index.json"
    return path, json.loads(path.read_text("utf-8"))


@pytest.mark.parametrize("file", ["../model.safetensors", "/etc/passwd", "a\\b.safetensors", "pytorch_model.bin", 7, "absent.safetensors"])
def test_an_index_names_files_of_its_own_folder_only(file, tmp_path):
    write("llama", tmp_path, max_shard_size="60KB")
    path, index = index_of(tmp_path)
    index["weight_map"][next(iter(index["weight_map"]))] = file
    path.write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(ValueError, match=r"not the name of a safetensors file|is not there"):
        load(tmp_path)


def test_an_index_that_misplaces_or_repeats_weights_is_refused(tmp_path):
    write("llama", tmp_path, max_shard_size="60KB")
    path, index = index_of(tmp_path)
    files = sorted(set(index["weight_map"].values()))
    name = next(name for name, file in index["weight_map"].items() if file == files[0])
    moved = index | {"weight_map": index["weight_map"] | {name: files[1]}}
    path.write_text(json.dumps(moved), encoding="utf-8")
    with pytest.raises(ValueError, match=f"{files[1]}: lacks {name}"):
        load(tmp_path)
    path.write_text(json.dumps(index), encoding="utf-8")
    tensors = load_file(tmp_path / files[0]) | load_file(tmp_path / files[1])
    save_file(tensors, tmp_path / files[1])
    with pytest.raises(ValueError, match="stands in two files"):
        load(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_a_pipe_in_place_of_the_weights_is_refused_without_waiting(folder):
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors")
    with pytest.raises(ValueError, match="not a plain file"):
        load(folder)


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege")
def test_a_hub_cache_of_links_is_read(folder, tmp_path):
    cache = tmp_path / "snapshot"
    cache.mkdir()
    for path in folder.iterdir():
        (cache / path.name).symlink_to(path)
    assert torch.equal(logits(load(cache)), logits(load(folder)))


def test_200_damaged_weight_files_give_our_error_or_a_model(folder):
    """Sizes in headers are never trusted: bytes of the header are overwritten, the file is cut."""
    good = (folder / "model.safetensors").read_bytes()
    header = 8 + int.from_bytes(good[:8], "little")
    rng = random.Random(0)
    refused = 0
    for _ in range(200):
        bad = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            bad[rng.randrange(header)] = rng.randrange(256)
        if rng.random() < 0.3:
            del bad[rng.randrange(len(bad)) :]
        (folder / "model.safetensors").write_bytes(bad)
        try:
            load(folder)
        except ValueError as error:
            refused += "\n" not in str(error)
    assert refused >= 180


def test_headers_alone_tell_whether_a_folder_fits(folder):
    model, files = check_folder(folder)
    assert all(parameter.is_meta for parameter in model.parameters())
    assert sum(map(len, files.values())) == len(model.state_dict())
    assert read_config(folder) == model.cfg


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_weight_that_is_not_finite_is_named(poison, dtype):
    model = CausalLM(ModelConfig("llama", VOCAB, 16, 32, 2, 2, 1, 8)).to(dtype)
    check_finite(model)
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[3, 5] = poison
    with pytest.raises(ValueError, match=r"model\.layers\.1\.mlp\.up_proj\.weight: holds NaN or infinite"):
        check_finite(model)


def test_a_model_with_other_modules_than_the_config_says_is_not_saved(folder, tmp_path):
    ours = load(folder)
    ours.model.layers[0].mlp.up_proj = torch.nn.Sequential(ours.model.layers[0].mlp.up_proj)
    with pytest.raises(ValueError, match="merge the adapter first"):
        save_model(ours, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_a_killed_process_left_behind_is_removed_when_it_is_old(tmp_path):
    left = [tmp_path / f".model.{number}.tmp" for number in ("0a0a0a0a", "1b1b1b1b")]
    for folder in left:
        folder.mkdir()
    os.utime(left[0], (0, 0))
    with staged_folder(tmp_path / "model"):
        pass
    assert not left[0].exists()
    assert left[1].exists()


def test_a_staged_folder_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "deep" / "model"

    def half_way():
        with staged_folder(target) as folder:
            (folder / "one").write_text("1", encoding="utf-8")
            assert not target.exists()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half_way()
    assert not any((tmp_path / "deep").iterdir())
    with staged_folder(target) as folder:
        (folder / "one").write_text("1", encoding="utf-8")
    assert [path.name for path in target.iterdir()] == ["one"]
    with pytest.raises(ValueError, match="exists already"), staged_folder(target):
        pass
    assert (target / "one").read_text("utf-8") == "1"
