import math
from dataclasses import replace

import pytest
import torch
from tiny_jobs import dpo_rows, gradients, tiny_config, tiny_job, tiny_model
from torch.testing import assert_close

from vgpt2.config import DPOConfig
from vgpt2.packing import pack
from vgpt2.stages.dpo import DPO, LOSSES, REFERENCE_FREE, pair_metrics

LOSS_KEYS = {"simpo": {"simpo_gamma": 0.3}}


def with_reference(rows):
    return [replace(row, ref_logps=(-6.0 - i / 3, -7.0 + i / 5)) for i, row in enumerate(rows)]


def losses_of(cfg_keys: dict, tmp_path, rows=None):
    model = tiny_model()
    job = tiny_job(tiny_config("dpo", dpo=cfg_keys), rows or with_reference(dpo_rows(3)), tmp_path, model=model)
    with torch.no_grad():
        return job.stage.loss(model, job.stage.collate(job.examples))[0]


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_of_the_table_trains(loss, tmp_path):
    job = tiny_job(tiny_config("dpo", dpo={"loss": loss, **LOSS_KEYS.get(loss, {})}), with_reference(dpo_rows(4)), tmp_path)
    found = gradients(job)
    assert all(torch.isfinite(gradient).all() for gradient in found.values())
    assert any(gradient.abs().max() > 0 for name, gradient in found.items() if name.endswith("lora_B"))


@pytest.mark.parametrize("recompute", [0, 2])
def test_a_prompt_stored_once_gives_the_losses_and_gradients_of_two_whole_rows(recompute, tmp_path):
    """In fp64, every parameter's gradient; ragged prompts of 2 to 9 tokens, with and without checkpointing."""
    rows, found = with_reference(dpo_rows(5)), []
    stage = DPO(tiny_config("dpo"))
    shared = stage.collate(rows)
    whole = replace(shared, packed=pack([sequence for row in rows for sequence in row.sequences]))
    saved = sum(row.answers[0].prompt_tokens - 1 for row in rows)
    assert len(shared.packed.input_ids) == len(whole.packed.input_ids) - saved == sum(row.tokens for row in rows)
    for batch in (shared, whole):
        model = tiny_model()
        model.recompute_layers = recompute
        losses, metrics = stage.loss(model, batch)
        losses.sum().backward()
        found.append((losses, metrics["logps/rejected"][0], *(parameter.grad for parameter in model.parameters())))
    assert len(found[0]) > 20
    for one, two in zip(*found):
        assert_close(one, two, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("loss", "change"),
    [
        *[(loss, {"beta": 0.37}) for loss in LOSSES],
        *[(loss, {"sft_weight": 0.5}) for loss in LOSSES],
        ("sigmoid", {"label_smoothing": 0.2}),
        ("simpo", {"simpo_gamma": 1.7}),
    ],
)
def test_every_option_changes_the_loss(loss, change, tmp_path):
    """INVARIANT 18, on the path that training takes."""
    keys = {"loss": loss, **LOSS_KEYS.get(loss, {})}
    assert not torch.allclose(losses_of(keys, tmp_path), losses_of(keys | change, tmp_path))


def test_no_option_of_the_config_is_left_out_of_the_test_above():
    """INVARIANT 18: a new key must come with a line that shows its effect."""
    assert set(DPOConfig.model_fields) == {
        "loss", "beta", "label_smoothing", "sft_weight", "simpo_gamma", "saturation_margin", "saturation_evals"
    }  # fmt: skip


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_without_reference_ignores_it_and_the_others_do_not(loss, tmp_path):
    keys = {"loss": loss, **LOSS_KEYS.get(loss, {})}
    rows = dpo_rows(3)
    other = [replace(row, ref_logps=(-1.0, -2.0 - i)) for i, row in enumerate(rows)]
    is_same = torch.equal(losses_of(keys, tmp_path, with_reference(rows)), losses_of(keys, tmp_path, other))
    assert is_same == (loss in REFERENCE_FREE)
    assert DPO(tiny_config("dpo", dpo=keys)).needs_reference != (loss in REFERENCE_FREE)


def test_metrics_by_hand_with_the_chosen_answer_clearly_better():
    """INVARIANT 46: rewards (2, -1) and (1, 3): margins 3 and -2."""
    metrics = pair_metrics(torch.tensor([[-1.0, -5.0], [-2.0, -4.0]]), torch.tensor([[2.0, -1.0], [1.0, 3.0]]))
    means = {name: float(total) / count for name, (total, count) in metrics.items()}
    assert means == {
        "rewards/chosen": 1.5,
        "rewards/rejected": 1.0,
        "rewards/margin": 0.5,
        "rewards/accuracy": 0.5,
        "logps/chosen": -1.5,
        "logps/rejected": -4.5,
    }


def test_swapping_chosen_and_rejected_mirrors_the_margin(tmp_path):
    model = tiny_model()
    rows = with_reference(dpo_rows(4))
    swapped = [replace(row, answers=row.answers[::-1], ref_logps=row.ref_logps[::-1]) for row in rows]
    stage = DPO(tiny_config("dpo"))
    with torch.no_grad():
        (losses, metrics), (mirrored, mirrored_metrics) = (stage.loss(model, stage.collate(part)) for part in (rows, swapped))
    # -log sigmoid(m) - (-log sigmoid(-m)) = -m
    margin = metrics["rewards/margin"][0]
    assert_close(losses.sum() - mirrored.sum(), -margin.to(losses.dtype), rtol=1e-5, atol=1e-6)
    assert_close(mirrored_metrics["rewards/margin"][0], -margin)


def test_remarks_say_what_a_curve_means():
    stage = DPO(tiny_config("dpo"))
    fine = {"logps/chosen": -10.0, "rewards/chosen": 0.1, "rewards/accuracy": 0.9, "rewards/margin": 1.0}
    assert stage.remarks(fine, fine) == []
    falling = fine | {"logps/chosen": -14.0, "rewards/chosen": -0.4}
    assert "chosen log-prob falls" in stage.remarks(fine, falling)[0]
    assert "swapped" in stage.remarks(fine, fine | {"rewards/accuracy": 0.3})[0]


def test_saturation_needs_full_accuracy_and_the_margin():
    stage = DPO(tiny_config("dpo", dpo={"saturation_margin": 5}))
    assert stage.is_saturated({"rewards/accuracy": 1.0, "rewards/margin": 5.5})
    assert not stage.is_saturated({"rewards/accuracy": 0.99, "rewards/margin": 9.0})
    assert not stage.is_saturated({"rewards/accuracy": 1.0, "rewards/margin": 4.0})
    assert not DPO(tiny_config("dpo")).is_saturated({"rewards/accuracy": 1.0, "rewards/margin": math.inf})
