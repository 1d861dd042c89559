"""Full fine-tuning: every weight is trained, in fp32 or under bf16 autocast, and what is saved is a Hugging Face folder."""

import signal

import pytest
import torch
import transformers
from devices import DEVICES
from safetensors.torch import load_file
from tiny_runs import ON, Trigger, differences, train
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


@pytest.mark.parametrize("device", DEVICES)
def test_lean_full_fine_tune_resumes_bit_for_bit_and_keeps_its_weights_in_bfloat16(device, place, model, undisturbed):
    """INVARIANT 29 with 8-bit moments, stochastic rounding and steps in the backward pass; on a card the moments are paged."""
    settings = ON[device] | {"lora": None, "model__dtype": "bfloat16", "optim__lr": 1e-3, "batch__micro_batch_tokens": 512}
    settings |= {"optim__in_backward": True, "optim__clip": "tensor", "optim__kind": "adamw8bit", "optim__paged": device == "cuda"}
    whole = undisturbed("sft", **settings)
    first = train(place.argv("sft", **settings), trigger=Trigger("vgpt2.loop:gradient_norm", 3, (signal.SIGINT,)))
    assert first.code == 130, first.err
    done = train(place.resume())
    assert done.code == 0, done.err
    assert differences(place.output / "run", whole) == []
    after = load_file(checkpoint.resolve(whole / "latest") / "model.safetensors")
    before = load_file(model / "model.safetensors")
    assert {tensor.dtype for tensor in after.values()} == {torch.bfloat16}
    assert [name for name in before if torch.equal(after[name], before[name].bfloat16())] == []


def test_steps_in_the_backward_pass_refuse_what_they_exclude_before_a_weight_is_read(place):
    refused = train(place.argv("sft", lora=None, optim__in_backward=True, optim__clip="tensor"))
    assert refused.code == 2
    assert "optim.in_backward is true; a step has 2 micro-batches" in refused.err
    refused = train(place.argv("sft", lora=None, optim__in_backward=True))
    assert "the whole gradient never exists, so set optim.clip tensor, or max_grad_norm null" in refused.err
