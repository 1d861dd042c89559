"""The random model for trials: the same bytes each time, and a model folder like any other."""

import hashlib
import os
import subprocess
import sys

import pytest
import torch
import transformers
from torch.testing import assert_close

from vgpt2.packing import pack
from vgpt2.weights import check_finite, load_model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny") / "model"
    subprocess.run([sys.executable, "-m", "vgpt2.embedded", "--tiny", str(folder)], check=True, capture_output=True, timeout=120)
    return folder


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_two_runs_make_the_same_bytes(tiny, tmp_path):
    environment = os.environ | {"PYTHONHASHSEED": "7", "RAYON_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "vgpt2.embedded", "--tiny", str(tmp_path / "again")]
    subprocess.run(command, check=True, capture_output=True, timeout=120, env=environment)
    assert digests(tmp_path / "again") == digests(tiny)


def test_it_has_a_million_weights_and_transformers_reads_it_alike(tiny):
    ours = load_model(tiny, dtype=torch.float32, device="cpu")
    assert 1.0e6 < sum(parameter.numel() for parameter in ours.parameters()) < 1.1e6
    check_finite(ours)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tiny)
    ids = list(range(100, 200))
    with torch.no_grad():
        assert_close(ours.logits(pack([(ids, [True] * 100)])), theirs(torch.tensor([ids])).logits[0], rtol=1e-5, atol=1e-5)


def test_its_tokenizer_knows_the_catalogue_and_every_byte(tiny):
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny)
    assert len(tokenizer) == 2048
    text = "SELECT TOP 10 APTH.Mth FROM APTH WITH (NOLOCK) -- naïve 你好 \x00\n"
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert len(tokenizer.encode("SELECT APTH.APCo FROM APTH WITH (NOLOCK)")) < 16
    ids = tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], add_generation_prompt=True, return_dict=True)["input_ids"]
    assert tokenizer.decode(ids) == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert ids[0] == tokenizer.bos_token_id
