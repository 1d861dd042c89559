import contextlib
from dataclasses import replace

import pytest
import torch
from tiny_jobs import dpo_rows, kto_rows, tiny_config, tiny_job, tiny_model
from torch.testing import assert_close

from vgpt2 import loop, reference
from vgpt2.adapter_files import load_adapter, save_adapter
from vgpt2.config import LoRAConfig
from vgpt2.interrupts import Interrupted
from vgpt2.loop import State
from vgpt2.lora import add_lora
from vgpt2.losses.logps import sequence_logps
from vgpt2.packing import pack
from vgpt2.stages.kto import KTO

CFG = LoRAConfig(rank=4, alpha=8)


def adapted_model(*, std: float = 0.05):
    """A model with an adapter that has moved, as SFT leaves it."""
    model = tiny_model()
    add_lora(model, CFG, seed=0)
    for name, parameter in model.named_parameters():
        if name.endswith("lora_B"):
            torch.nn.init.normal_(parameter, std=std, generator=torch.Generator().manual_seed(len(name)))
    return model


def attach(model, rows, folder, *, key="k", check=lambda: None, may_compute=True, budget=64):
    return reference.attach(
        model,
        rows,
        folder,
        key=key,
        budget=budget,
        autocast=contextlib.nullcontext,
        check=check,
        progress=lambda n: None,
        may_compute=may_compute,
    )


def direct(model, row):
    packed = pack([(answer.input_ids, answer.completion_mask) for answer in row.answers])
    with torch.no_grad():
        return sequence_logps(model(packed), packed.cu_seqlens).tolist()


def test_the_reference_is_base_plus_the_sft_adapter_and_never_the_bare_base(tmp_path):
    """INVARIANT 11."""
    model, bare = adapted_model(), tiny_model()
    for row in attach(model, dpo_rows(6), tmp_path):
        assert row.ref_logps == pytest.approx(direct(model, row), abs=1e-5)
        assert max(abs(a - b) for a, b in zip(row.ref_logps, direct(bare, row))) > 1e-2


def test_training_leaves_the_reference_as_it_was(tmp_path):
    """INVARIANTS 11 and 12: five steps move the policy away from values that stay bit for bit."""
    model = tiny_model()
    job = tiny_job(tiny_config("dpo", epochs=3), dpo_rows(8), tmp_path, model=model)
    job.examples = attach(model, job.examples, tmp_path)
    before = [row.ref_logps for row in job.examples]
    state = State()
    for _ in range(5):
        loop.take_step(job, state)
    assert [row.ref_logps for row in attach(model, dpo_rows(8), tmp_path, may_compute=False)] == before
    moved = [abs(a - b) for row in job.examples for a, b in zip(row.ref_logps, direct(model, row))]
    assert max(moved) > 1e-3


def test_the_pass_leaves_mode_gradients_and_random_state_alone_also_when_it_fails(tmp_path):
    """INVARIANTS 13 and 14."""
    model = adapted_model().train()
    wants = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    random_state = torch.get_rng_state()
    attach(model, dpo_rows(3), tmp_path)

    def fail():
        raise RuntimeError("in the middle")

    (tmp_path / "other").mkdir()
    with pytest.raises(RuntimeError, match="in the middle"):
        attach(model, dpo_rows(3), tmp_path / "other", check=fail)
    assert model.training
    assert {name: parameter.requires_grad for name, parameter in model.named_parameters()} == wants
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), random_state)


def test_an_interrupted_pass_goes_on_and_ends_with_the_same_bits(tmp_path):
    """INVARIANT 14, fault 3."""
    model, rows = adapted_model(), dpo_rows(12)
    (tmp_path / "whole").mkdir()
    packs, calls, resumed_calls = [], [], []
    whole = attach(model, rows, tmp_path / "whole", budget=32, check=lambda: packs.append(1))

    def interrupt():
        if len(calls) == 3:
            raise Interrupted(2)
        calls.append(1)

    with pytest.raises(Interrupted):
        attach(model, rows, tmp_path, budget=32, check=interrupt)
    stored = reference.load(tmp_path / reference.FILE, key="k", rows=24)
    assert 0 < int(stored.isnan().sum()) < 24
    resumed = attach(model, rows, tmp_path, budget=32, check=lambda: resumed_calls.append(1))
    assert [row.ref_logps for row in resumed] == [row.ref_logps for row in whole]
    assert len(resumed_calls) == len(packs) - 3, "no pack is computed twice"


def test_what_is_stored_is_used_and_not_computed_again(tmp_path):
    model, rows = adapted_model(), dpo_rows(4)
    first = attach(model, rows, tmp_path)

    def forbidden():
        raise AssertionError("computed again")

    assert [row.ref_logps for row in attach(tiny_model(), rows, tmp_path, check=forbidden, may_compute=False)] == [
        row.ref_logps for row in first
    ]


@pytest.mark.parametrize("what", ["weights", "rows", "mask", "order", "precision", "pairing"])
def test_other_weights_rows_precision_or_pairing_have_another_fingerprint(what):
    """INVARIANT 14; beta, label smoothing and lr are not in it by construction."""
    rows, weights, dtype = dpo_rows(4), "w", torch.float32
    before = reference.fingerprint(weights, rows, dtype)
    if what == "weights":
        weights = "v"
    elif what == "rows":
        rows = dpo_rows(4, seed=1)
    elif what == "mask":
        chosen, rejected = rows[0].answers
        mask = chosen.completion_mask.copy()
        mask[-1] = False
        rows[0] = replace(rows[0], answers=(replace(chosen, completion_mask=mask), rejected))
    elif what == "order":
        rows = rows[::-1]
    elif what == "precision":
        dtype = torch.bfloat16
    else:
        stage, answers = KTO(tiny_config("kto")), kto_rows(8)
        keys = {reference.fingerprint(weights, stage.complete(answers, [], seed=seed)[0], dtype) for seed in (0, 0, 1)}
        assert len(keys) == 2
        return
    assert reference.fingerprint(weights, rows, dtype) != before


def test_the_weights_fingerprint_follows_the_trained_tensors():
    model = adapted_model()
    before = reference.weights_fingerprint(model)
    assert before == reference.weights_fingerprint(adapted_model())
    with torch.no_grad():
        next(p for n, p in model.named_parameters() if n.endswith("lora_B"))[0, 0] += 1e-6
    assert reference.weights_fingerprint(model) != before


def test_a_column_of_other_weights_is_refused_by_name(tmp_path):
    model, rows = adapted_model(), dpo_rows(3)
    attach(model, rows, tmp_path)
    with pytest.raises(ValueError, match=r"ref_logps\.safetensors: belongs to other starting weights"):
        attach(model, rows, tmp_path, key="other")


def test_a_damaged_column_is_computed_again_at_step_zero_and_refused_later(tmp_path):
    model, rows = adapted_model(), dpo_rows(3)
    whole = attach(model, rows, tmp_path)
    path = tmp_path / reference.FILE
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="only the starting weights can compute it"):
        attach(model, rows, tmp_path, may_compute=False)
    assert [row.ref_logps for row in attach(model, rows, tmp_path)] == [row.ref_logps for row in whole]


def test_first_batch_differences_are_rounding_and_a_wrong_reference_is_seen(tmp_path):
    """INVARIANT 10, at run time."""
    model = adapted_model()
    rows = attach(model, dpo_rows(8), tmp_path)
    assert reference.largest_difference(model, rows[:2], contextlib.nullcontext) < reference.TOLERANCE[torch.float32]
    assert reference.largest_difference(tiny_model(), rows[:2], contextlib.nullcontext) > reference.TOLERANCE[torch.bfloat16]


def test_the_values_survive_a_save_and_load_of_the_adapter(tmp_path):
    """INVARIANT 14: recomputed from the saved adapter they are the same."""
    model = adapted_model().float()
    rows = dpo_rows(5)
    first = attach(model, rows, tmp_path)
    save_adapter(model, tmp_path / "adapter", "tiny")
    again = tiny_model().float()
    load_adapter(again, tmp_path / "adapter")
    (tmp_path / "second").mkdir()
    second = attach(again, rows, tmp_path / "second")
    assert_close(torch.tensor([r.ref_logps for r in second]), torch.tensor([r.ref_logps for r in first]), rtol=0, atol=1e-5)
