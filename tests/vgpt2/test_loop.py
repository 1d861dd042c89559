import itertools
import math
from dataclasses import replace

import pytest
import torch
from tiny_jobs import ROWS, dpo_rows, gradients, kto_rows, sft_rows, tiny_config, tiny_job, tiny_model
from torch.testing import assert_close

from vgpt2 import checkpoint, loop
from vgpt2.checkpoint import SaveFailed
from vgpt2.interrupts import Interrupted
from vgpt2.loop import NonFinite, State, fit
from vgpt2.losses.logps import sequence_logps
from vgpt2.packing import IGNORE, pack

UNCUT = {"pack_tokens": 32, "packs_per_step": 4, "examples_per_step": 8, "micro_batch_tokens": 4096}
NO_CLIP = {"max_grad_norm": None}


def with_reference(rows, offset=0.3):
    """Rows with made-up reference values: any numbers will do for laws about gradients."""
    return [replace(row, ref_logps=tuple(-5.0 - offset * (i + j) for j in range(2))) for i, row in enumerate(rows)]


@pytest.mark.parametrize("stage", ["sft", "dpo", "kto"])
def test_the_gradient_does_not_depend_on_how_a_step_is_cut(stage, tmp_path):
    """INVARIANTS 1 and 4: ragged rows in fp64, micro-batches of one pack or example up to the whole step."""
    rows = ROWS[stage](8) if stage == "sft" else with_reference(ROWS[stage](8))
    results = []
    for micro_batch_tokens in (32, 64, 96, 4096):
        job = tiny_job(tiny_config(stage, batch=UNCUT | {"micro_batch_tokens": micro_batch_tokens}, optim=NO_CLIP), rows, tmp_path)
        for parameter in job.parameters:
            torch.nn.init.normal_(parameter, std=0.05, generator=torch.Generator().manual_seed(parameter.numel()))
        results.append((len(job.steps[0]), gradients(job)))
    assert len({cuts for cuts, _ in results}) >= 3, "the budgets must cut differently for this to say anything"
    for _, other in results[1:]:
        for name, gradient in results[0][1].items():
            assert_close(other[name], gradient, rtol=1e-10, atol=1e-10)


def test_the_last_window_is_the_gradient_of_its_own_rows(tmp_path):
    """INVARIANT 2: ten packs in steps of four leave a step of two; nothing of the earlier steps is in it."""
    rows = sft_rows(40)
    cfg = tiny_config("sft", batch={"packs_per_step": 4, "micro_batch_tokens": 32}, optim=NO_CLIP)
    job = tiny_job(cfg, rows, tmp_path)
    last = len(job.steps) - 1
    assert 0 < len(job.steps[last]) < 4
    state = State()
    while state.step < last:
        loop.take_step(job, state)
        assert all(parameter.grad is None for parameter in job.parameters)
    before = [parameter.detach().clone() for parameter in job.parameters]
    found = gradients(job, last)
    for parameter, value in zip(job.parameters, before):
        assert_close(parameter, value, rtol=0, atol=0)
    indices = [i for micro in job.steps[last] for i in micro]
    packed = pack([(rows[i].input_ids, rows[i].completion_mask) for i in indices])
    (-job.model(packed).sum() / (packed.labels != IGNORE).sum()).backward()
    for name, parameter in job.model.named_parameters():
        if parameter.requires_grad:
            assert_close(found[name], parameter.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("stage", ["sft", "dpo", "kto"])
def test_the_logged_loss_is_the_mean_over_units_whatever_the_cut(stage, tmp_path):
    """INVARIANTS 4 and 46: logging every step or every third, in large or small micro-batches, gives the same means."""
    rows = ROWS[stage](12) if stage == "sft" else with_reference(ROWS[stage](12))
    means = []
    for micro_batch_tokens, log_every in itertools.product((32, 4096), (1, 3)):
        cfg = tiny_config(
            stage,
            log_every=log_every,
            batch=UNCUT | {"packs_per_step": 1, "examples_per_step": 4, "micro_batch_tokens": micro_batch_tokens},
            max_steps=3,
        )
        job = tiny_job(cfg, rows, tmp_path)
        state = State()
        units, total = 0, 0.0
        for _ in range(3):
            loop.take_step(job, state)
            loop.settle(job, state)
            total, units = state.window["loss"]
        means.append(total / units)
        assert units == sum(rows[i].units for step in job.steps for micro in step for i in micro)
    for mean in means[1:]:
        assert mean == pytest.approx(means[0], abs=1e-12)


def test_dpo_at_step_zero_costs_ln_2_and_has_no_rewards(tmp_path):
    """INVARIANT 10, in fp64 and in train mode."""
    model = tiny_model()
    rows = []
    for row in dpo_rows(4):
        packed = pack([(answer.input_ids, answer.completion_mask) for answer in row.answers])
        with torch.no_grad():
            rows.append(replace(row, ref_logps=tuple(sequence_logps(model(packed), packed.cu_seqlens).tolist())))
    job = tiny_job(tiny_config("dpo", max_steps=1), rows, tmp_path, model=model)
    fit(job, State())
    (_, _, values), *_ = job.log.lines
    assert values["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert values["rewards/chosen"] == pytest.approx(0, abs=1e-6)
    assert values["rewards/margin"] == pytest.approx(0, abs=1e-6)


def poison(job, at_step):
    """Makes the loss of one step NaN, as a broken row would."""
    loss, steps = job.stage.loss, itertools.count()

    def poisoned(policy, batch):
        losses, metrics = loss(policy, batch)
        return losses * (float("nan") if next(steps) in at_step else 1.0), metrics

    job.stage.loss = poisoned


def test_a_step_without_a_finite_gradient_is_skipped_and_said(tmp_path):
    """INVARIANT 23: weights and moments stay as they were, the row's place is named."""
    job = tiny_job(tiny_config("sft", batch=UNCUT | {"packs_per_step": 1}, optim=NO_CLIP), sft_rows(12), tmp_path)
    poison(job, {1})
    state = State()
    loop.take_step(job, state)
    before = [parameter.detach().clone() for parameter in job.parameters]
    moments = [{k: v.clone() for k, v in job.optimizer.state[p].items()} for p in job.parameters]
    loop.take_step(job, state)
    assert state.skipped == 1
    assert "step 2: gradient norm is nan" in job.log.warnings[0]
    assert "rows.jsonl:" in job.log.warnings[0]
    for parameter, value, moment in zip(job.parameters, before, moments):
        assert torch.equal(parameter, value)
        assert all(torch.equal(job.optimizer.state[parameter][k], v) for k, v in moment.items())
    loop.take_step(job, state)
    loop.settle(job, state)
    assert state.skipped_in_a_row == 0
    assert all(math.isfinite(total) for total, _ in state.window.values())


def test_too_many_steps_without_a_finite_gradient_end_the_run(tmp_path):
    job = tiny_job(tiny_config("sft", nonfinite_limit=2, batch=UNCUT | {"packs_per_step": 1}), sft_rows(12), tmp_path)
    poison(job, set(range(100)))
    with pytest.raises(NonFinite, match="2 steps in a row"):
        fit(job, State())


def test_clipping_happens_once_on_the_accumulated_gradient_and_the_norm_before_it_is_logged(tmp_path):
    """INVARIANT 27."""
    rows = sft_rows(12)
    cfg = tiny_config("sft", batch=UNCUT | {"packs_per_step": 8, "micro_batch_tokens": 32}, optim={"max_grad_norm": 1e-3}, max_steps=1)
    free = gradients(tiny_job(cfg.model_copy(update={"optim": cfg.optim.model_copy(update=NO_CLIP)}), rows, tmp_path))
    norm = math.sqrt(sum(float(gradient.square().sum()) for gradient in free.values()))
    job = tiny_job(cfg, rows, tmp_path)
    clipped = gradients(job)
    assert math.sqrt(sum(float(gradient.square().sum()) for gradient in clipped.values())) == pytest.approx(1e-3, rel=1e-4)
    job, state = tiny_job(cfg, rows, tmp_path), State()
    loop.take_step(job, state)
    loop.settle(job, state)
    assert state.window["grad_norm"][0] == pytest.approx(norm, rel=1e-6)


def test_evaluation_is_the_token_mean_whatever_its_cut_and_touches_nothing(tmp_path):
    """INVARIANT 45."""
    held_out = sft_rows(9, seed=5)
    values = []
    for micro_batch_tokens in (32, 4096):
        job = tiny_job(tiny_config("sft", batch={"micro_batch_tokens": micro_batch_tokens}), sft_rows(4), tmp_path, held_out=held_out)
        job.model.train()
        random_state = torch.get_rng_state()
        values.append(loop.evaluate(job)["loss"])
        assert torch.equal(random_state, torch.get_rng_state())
        assert job.model.training
        assert all(parameter.grad is None for parameter in job.parameters)
    packed = pack([(row.input_ids, row.completion_mask) for row in held_out])
    expected = -float(job.model(packed).detach().sum()) / int((packed.labels != IGNORE).sum())
    assert values == pytest.approx([expected, expected], abs=1e-10)


@pytest.mark.parametrize(
    ("metric", "values", "best"),
    [
        ("eval/loss", [3.0, 1.0, 1.0, 2.0], 2),
        ("eval/rewards/accuracy", [0.1, 0.9, 0.9, 0.5], 2),
        ("eval/rewards/margin", [math.nan, -1.0, -2.0, math.nan], 2),
        ("eval/perplexity", [math.nan, math.inf, 9.0, 10.0], 3),
        ("task/false_rejection", [0.5, 0.2, 0.3, 0.2], 2),
        ("task/resolves", [0.5, 0.7, 0.3, 0.2], 2),
    ],
)
def test_best_goes_down_for_losses_and_up_for_accuracies_and_never_by_a_tie_or_nan(metric, values, best, tmp_path):
    """INVARIANT 34."""
    job = tiny_job(tiny_config("sft", checkpoint={"best_metric": metric}), sft_rows(4), tmp_path)
    state = State()
    for step, value in enumerate(values, 1):
        state.step = step
        held_out, tasks = ({metric.removeprefix("eval/"): value}, {}) if metric.startswith("eval/") else ({}, {metric: value})
        loop.note_evaluation(job, state, held_out, tasks, took_s=0.1)
    assert state.best_step == best


def test_patience_ends_the_run_after_so_many_evaluations_without_a_better_value(tmp_path):
    cfg = tiny_config("sft", epochs=50, checkpoint={"eval_every": 1, "patience": 3}, optim={"lr": 0.5})
    job = tiny_job(cfg, sft_rows(8), tmp_path, held_out=sft_rows(4, seed=9))
    state = State()
    fit(job, state)
    assert state.step < len(job.steps)
    assert state.evals_without_better == 3
    assert checkpoint.resolve(tmp_path / "latest").name == f"step-{state.step:06d}"


def test_an_unknown_best_metric_names_those_there_are(tmp_path):
    cfg = tiny_config("sft", checkpoint={"best_metric": "eval/accuracy", "eval_every": 1})
    job = tiny_job(cfg, sft_rows(8), tmp_path, held_out=sft_rows(4, seed=9))
    with pytest.raises(ValueError, match=r"best_metric is 'eval/accuracy'; this run has eval/ with loss, perplexity"):
        fit(job, State())


def test_a_probe_is_asked_at_every_evaluation_and_may_choose_the_best_without_held_out_rows(tmp_path):
    """INVARIANT 34; the values of three probes by hand, the best in the middle."""
    cfg = tiny_config("sft", epochs=2, checkpoint={"best_metric": "task/right", "eval_every": 1, "save_every": 1})
    job = tiny_job(cfg, sft_rows(6), tmp_path)
    values = iter([0.25, 0.75, 0.5, 0.5, 0.5, 0.5])
    job.probe = lambda: {"task/right": next(values)}
    fit(job, State())
    evaluated = [values for kind, _, values in job.log.lines if kind == "eval"]
    assert evaluated[:3] == [{"task/right": 0.25}, {"task/right": 0.75}, {"task/right": 0.5}]
    assert checkpoint.resolve(tmp_path / "best").name == "step-000002"


@pytest.mark.parametrize("stage", ["sft", "dpo", "kto"])
def test_a_stage_evaluates_what_it_says(stage, tmp_path):
    job = tiny_job(tiny_config(stage), ROWS[stage](8), tmp_path, held_out=ROWS[stage](6, seed=9))
    assert sorted(loop.evaluate(job)) == sorted(job.stage.metrics)


def test_steps_done_are_the_steps_planned_and_the_last_is_logged_evaluated_and_saved(tmp_path):
    cfg = tiny_config("sft", epochs=3, log_every=100)
    job = tiny_job(cfg, sft_rows(20), tmp_path, held_out=sft_rows(4, seed=9))
    state = State()
    fit(job, state)
    assert state.step == len(job.steps) == state.last_log_step == state.last_eval_step
    assert [kind for kind, *_ in job.log.lines] == ["train", "eval"]
    assert checkpoint.resolve(tmp_path / "best").name == f"step-{state.step:06d}"


class FullDisk:
    """Writes checkpoints but for the given attempts."""

    def __init__(self, fails):
        self.fails, self.attempts = fails, 0

    def __call__(self, path, state):
        self.attempts += 1
        if self.attempts in self.fails:
            raise OSError(28, "No space left on device")
        (path / "state.txt").write_text(str(state.step))


def test_training_goes_on_when_a_checkpoint_cannot_be_written(tmp_path):
    """Fault 18: two failures are survived and said, the next interval tries again."""
    cfg = tiny_config("sft", epochs=4, checkpoint={"save_every": 1})
    job = tiny_job(cfg, sft_rows(12), tmp_path, write=FullDisk({2, 3}))
    fit(job, State())
    assert [f"{i}" for i, warning in enumerate(job.log.warnings) if "no space left" in warning] == ["0", "1"]
    assert checkpoint.resolve(tmp_path / "latest").name == f"step-{len(job.steps):06d}"


def test_the_third_failure_in_a_row_ends_the_run_with_the_last_checkpoint_whole(tmp_path):
    cfg = tiny_config("sft", epochs=4, checkpoint={"save_every": 1})
    job = tiny_job(cfg, sft_rows(12), tmp_path, write=FullDisk({2, 3, 4}))
    assert len(job.steps) > 4
    with pytest.raises(SaveFailed):
        fit(job, State())
    assert checkpoint.resolve(tmp_path / "latest").name == "step-000001"


def test_a_best_that_was_not_saved_does_not_keep_a_lesser_one_from_being_saved(tmp_path, monkeypatch):
    """`best` names a checkpoint that is there, and the state its value."""
    values = iter([3.0, 1.0, 2.0, 2.5])
    monkeypatch.setattr(loop, "evaluate", lambda job: {"loss": next(values)})
    cfg = tiny_config("sft", epochs=9, max_steps=4, checkpoint={"save_every": 4, "eval_every": 1})
    job = tiny_job(cfg, sft_rows(12), tmp_path, held_out=sft_rows(4, seed=9), write=FullDisk({2}))
    state = State()
    fit(job, state)
    assert (state.best_value, state.best_step) == (2.0, 3)
    assert checkpoint.resolve(tmp_path / "best").name == "step-000003"


def test_an_interrupt_between_micro_batches_saves_the_last_finished_step(tmp_path):
    """INVARIANT 31, within a step: the half-done step leaves no trace in weights, state or gradient."""
    cfg = tiny_config("sft", batch=UNCUT | {"micro_batch_tokens": 32})
    job = tiny_job(cfg, sft_rows(40), tmp_path)
    checks = itertools.count()

    class Stop:
        def check(self):
            if next(checks) == len(job.steps[0]) + 1:  # inside the second step
                raise Interrupted(2)

    job.interrupts = Stop()
    state = State()
    with pytest.raises(Interrupted):
        fit(job, state)
    assert state.step == 1
    assert checkpoint.resolve(tmp_path / "latest").name == "step-000001"
    assert all(parameter.grad is None for parameter in job.parameters)


def test_kto_rewards_start_at_zero_and_its_loss_at_half(tmp_path):
    """1 - sigmoid(0) = 1/2 for every answer when policy equals reference and both classes weigh 1."""
    model = tiny_model()
    cfg = tiny_config("kto", max_steps=1, kto={"desirable_weight": 1, "undesirable_weight": 1})
    job = tiny_job(cfg, kto_rows(8), tmp_path, model=model)
    rows = []
    for row in job.examples:
        packed = pack([(answer.input_ids, answer.completion_mask) for answer in row.answers])
        with torch.no_grad():
            rows.append(replace(row, ref_logps=tuple(sequence_logps(model(packed), packed.cu_seqlens).tolist())))
    job.examples = rows
    fit(job, State())
    (_, _, values), *_ = job.log.lines
    assert values["loss"] == pytest.approx(0.5, abs=1e-5)
    assert values["rewards/chosen"] == pytest.approx(0, abs=1e-5)
    assert values["kl"] == pytest.approx(0, abs=1e-5)
