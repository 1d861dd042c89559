"""Full fine-tuning: every weight is trained, in fp32 or under bf16 autocast, and what is saved is a Hugging Face folder."""

import signal

import pytest
import torch
import transformers
from safetensors.torch import load_file
from tiny_runs import Trigger, differences, train
from torch.testing import assert_close

from vgpt2 import checkpoint
from vgpt2.packing import pack
from vgpt2.weights import load_model


@pytest.mark.parametrize(("stage", "dtype"), [("sft", "float32"), ("sft", "bfloat16"), ("dpo", "bfloat16")])
def test_a_full_fine_tune_trains_resumes_bit_for_bit_and_saves_what_transformers_reads(stage, dtype, place, model, undisturbed):
    """INVARIANTS 24, 29, 37."""
    settings = {"lora": None, "model__dtype": dtype, "optim__lr": 1e-3}
    whole = undisturbed(stage, **settings)
    for number, trigger in enumerate((Trigger("vgpt2.loop:clip", 2, (signal.SIGINT,)), Trigger("vgpt2.loop:clip", 3, (signal.SIGTERM,)))):
        assert train(place.resume() if number else place.argv(stage, **settings), trigger=trigger).code in (130, 143)
    done = train(place.resume())
    assert done.code == 0, done.err
    assert differences(place.output / "run", whole) == []

    folder = checkpoint.resolve(whole / "best")
    after, before = load_file(folder / "model.safetensors"), load_file(model / "model.safetensors")
    assert {tensor.dtype for tensor in after.values()} == {torch.float32}
    assert [name for name in before if torch.equal(after[name], before[name])] == []
    theirs, ours = transformers.AutoModelForCausalLM.from_pretrained(folder), load_model(folder, dtype=torch.float32, device="cpu")
    ids = list(range(100, 180))
    with torch.no_grad():
        assert_close(theirs(torch.tensor([ids])).logits[0], ours.logits(pack([(ids, [True] * len(ids))])), rtol=1e-5, atol=1e-5)
    assert len(transformers.AutoTokenizer.from_pretrained(folder)) == 2048
