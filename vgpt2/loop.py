"""The training loop, the same for every stage: count units, forward and backward, clip, step, log, evaluate, save.

The gradient of a step is (sum of its losses) / (its units), whatever the micro-batches. Order, learning rate and dropout are computed
from (seed, step), so a run that goes on from step k is the run that was never interrupted, bit for bit.
"""

import contextlib
import math
import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from vgpt2 import checkpoint
from vgpt2.config import TrainConfig
from vgpt2.dataset import Record
from vgpt2.interrupts import Interrupted, Interrupts
from vgpt2.metrics import RunLog
from vgpt2.model import CausalLM
from vgpt2.optim import clip, learning_rate
from vgpt2.packing import Packed, cut
from vgpt2.prefetch import Ahead, pinned
from vgpt2.profiling import Profile
from vgpt2.tensor_adamw import TensorAdamW
from vgpt2.tokencache import Row
from vgpt2.tokenizer import ChatTokenizer

Policy = Callable[[Packed], Tensor]  # (T,) log-probabilities of the labels
Sums = dict[str, tuple[float, int]]  # metric -> (sum, count)
SAVES_TO_FAIL = 3  # in a row, before the run stops
# the parts of a step in a profile; logging is what is due after it, evaluations and saves too
DATA, PREPARE, FORWARD, BACKWARD, OPTIMIZER, LOGGING = PARTS = ("data", "prepare", "forward", "backward", "optimizer", "logging")
MORE_LAYERS = 4  # recomputed after each time that memory ran out


class Example(Protocol):
    """One encoded row. `sequences` are what is trained on, `tokens` decide the micro-batches, `units` divide the loss."""

    @property
    def where(self) -> str: ...
    @property
    def sequences(self) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        """(input_ids (T,), completion_mask (T,)) of each sequence that gets a gradient."""
        ...

    @property
    def tokens(self) -> int: ...
    @property
    def units(self) -> int: ...


class Batch(Protocol):
    @property
    def packed(self) -> Packed: ...
    @property
    def units(self) -> int: ...

    def to(self, device: torch.device) -> "Batch": ...


class Stage(Protocol):
    """What SFT, DPO and KTO each decide; see vgpt2/stages/sft.py for the shortest."""

    name: str
    unit: str
    metrics: tuple[str, ...]  # what an evaluation gives; KTO's of one class only where the held-out rows hold that class
    needs_reference: bool

    def encode(self, record: Record, tokenizer: ChatTokenizer) -> Any:
        """One row as an Example, or the reason (str) why it is dropped."""
        ...

    def store(self, example: Any) -> Row:
        """What the token cache keeps of an encoded row."""
        ...

    def restore(self, row: Row) -> Any:
        """The example that `store` was given."""
        ...

    def complete(self, train: list[Any], held_out: list[Any], *, seed: int) -> tuple[list[Any], list[Any]]:
        """Once, before planning: what needs the whole set (KTO's mismatched answers and class weights)."""
        ...

    def notes(self) -> list[str]:
        """What the user should know before the first step."""
        ...

    def plan(self, tokens: Sequence[int], *, seed: int, epoch: int) -> list[list[list[int]]]:
        """One epoch: optimizer steps of micro-batches of example indices."""
        ...

    def collate(self, examples: Sequence[Any]) -> Batch: ...

    def prepare(self, policy: Policy, batches: list[Any]) -> list[Any]:
        """Once per optimizer step, before its first backward: what needs all of the step's rows."""
        ...

    def loss(self, policy: Policy, batch: Any) -> tuple[Tensor, dict[str, tuple[Tensor, int]]]:
        """Losses (U,), one a unit, and metrics as (sum, count)."""
        ...

    def summarise(self, values: dict[str, float]) -> dict[str, float]:
        """The means with what follows from several of them."""
        ...

    def remarks(self, first: dict[str, float], now: dict[str, float]) -> list[str]:
        """Warnings that a person understands, from the first and the present held-out values."""
        ...

    def is_saturated(self, values: dict[str, float]) -> bool:
        """Whether the held-out values say that nothing is left to learn."""
        ...


class NonFinite(ValueError):
    """Too many steps in a row without a finite gradient."""


@dataclass
class State:
    """What a checkpoint holds beside weights and moments; JSON, floats exact."""

    step: int = 0
    tokens: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0
    last_log_step: int = 0
    last_eval_step: int = 0
    best_value: float | None = None
    best_step: int | None = None
    evals_without_better: int = 0
    saturated_evals: int = 0
    first_eval: dict[str, float] = field(default_factory=dict)
    log_rows: int = 0
    window: Sums = field(default_factory=dict)  # since the last logged line


@dataclass
class Job:
    """The parts that a run puts together; `steps[k]` are the micro-batches of optimizer step k."""

    cfg: TrainConfig
    stage: Stage
    model: CausalLM
    optimizer: torch.optim.Optimizer
    examples: Sequence[Any]
    eval_examples: Sequence[Any]
    steps: list[list[list[int]]]
    run_dir: Path
    run_id: str
    device: torch.device
    autocast_dtype: torch.dtype | None
    write: Callable[[Path, State], None]
    log: RunLog
    interrupts: Interrupts
    probe: Callable[[], dict[str, float]] | None = None  # task metrics of the model as it stands
    ahead: Callable[[int], list[Any]] | None = None  # `collated`, made while the step before trains; None: made when asked for
    profile: Profile | None = None  # of some of the first steps
    pending: list[dict[str, tuple[Tensor, int]]] = field(default_factory=list)  # metrics of finished steps, still on the device
    resumed_from: Path | None = None  # a step folder, which rotation leaves alone
    saved_step: int = 0
    saved_best: tuple[float | None, int | None] = (None, None)  # value and step of what `best` names
    failed_saves: int = 0

    def policy(self, packed: Packed) -> Tensor:
        """The model, (T,) log-probabilities; every forward is preceded by a place where a signal may stop the run."""
        self.interrupts.check()
        token_logps: Tensor = self.model(packed)
        return token_logps

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        if self.autocast_dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.autocast_dtype)

    def part(self, name: str) -> contextlib.AbstractContextManager[None]:
        """A stretch of a step, timed in a run that is profiled; see PARTS."""
        return self.profile.part(name) if self.profile else contextlib.nullcontext()

    @property
    def is_evaluated(self) -> bool:
        return bool(self.eval_examples) or self.probe is not None

    @property
    def parameters(self) -> list[torch.nn.Parameter]:
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]


def plan_run(stage: Stage, tokens: Sequence[int], cfg: TrainConfig) -> list[list[list[int]]]:
    """The micro-batches of every optimizer step of the run, all epochs, at most `max_steps`."""
    steps = [step for epoch in range(cfg.epochs) for step in stage.plan(tokens, seed=cfg.seed, epoch=epoch)]
    steps = steps[: cfg.max_steps]
    if cfg.optim.in_backward and (several := next((step for step in steps if len(step) > 1), None)):
        raise ValueError(
            f"optim.in_backward is true; a step has {len(several)} micro-batches, and a weight steps with its first gradient: "
            "raise batch.micro_batch_tokens or make the step smaller"
        )
    return steps


def fit(job: Job, state: State) -> None:
    """Trains from `state.step` to the last planned step or the early stop, leaving a checkpoint either way.

    Raises Interrupted after saving the last finished step, NonFinite, or checkpoint.SaveFailed.
    """
    job.model.train()
    if job.resumed_from:  # a kill may have come between a save and what follows it
        publish(job, state, job.resumed_from)
    try:
        do_what_is_due(job, state)
        with Ahead(partial(collated, job), end=len(job.steps)) as job.ahead, job.profile or contextlib.nullcontext():
            while not is_finished(job.cfg, len(job.steps), state):
                take_step(job, state)
                with job.part(LOGGING):
                    do_what_is_due(job, state)
                if job.profile:
                    job.profile.step()
    except Interrupted:
        job.optimizer.zero_grad(set_to_none=True)
        if state.step > job.saved_step:
            save(job, state, is_last=True)
        raise
    assert state.step == len(job.steps) or stops_early(job.cfg, state), "steps done differ from steps planned"


def is_finished(cfg: TrainConfig, planned_steps: int, state: State) -> bool:
    return state.step >= planned_steps or stops_early(cfg, state) is not None


def stops_early(cfg: TrainConfig, state: State) -> str | None:
    """Why the run ends before its last planned step, if it does."""
    patience = cfg.checkpoint.patience
    if patience is not None and state.evals_without_better >= patience:
        return f"{cfg.checkpoint.best_metric} has not improved in {state.evals_without_better} evaluations"
    if state.saturated_evals >= cfg.dpo.saturation_evals:
        return f"accuracy 1 and margin over the limit in {state.saturated_evals} evaluations"
    return None


def collated(job: Job, step: int) -> list[Any]:
    """The micro-batches of a step on the host; page-locked where a GPU fetches them."""
    batches = [job.stage.collate([job.examples[i] for i in indices]) for indices in job.steps[step]]
    return [pinned(batch) for batch in batches] if job.device.type == "cuda" else batches


def take_step(job: Job, state: State) -> None:
    """One optimizer step; leaves `state` untouched when interrupted between its micro-batches."""
    rows = job.steps[state.step]
    with job.part(DATA):
        batches = [batch.to(job.device) for batch in (job.ahead or partial(collated, job))(state.step)]
    units = sum(batch.units for batch in batches)
    assert all(batch.units > 0 for batch in batches), "a micro-batch without a unit reached the loop"
    for group in job.optimizer.param_groups:  # before the backward pass, in which weights may step
        group["lr"] = learning_rate(state.step, job.cfg.optim, len(job.steps)) * group["lr_ratio"]
    sums = backward_within_memory(job, state, batches, units)
    with job.part(OPTIMIZER):
        norm = gradient_norm(job)
        grad_norm = float(norm)  # sync: whether the step is taken is decided here
        if math.isfinite(grad_norm):
            job.optimizer.step()
            job.pending += [*sums, {"grad_norm": (norm, 1)}]
            state.skipped_in_a_row = 0
        else:
            state.skipped += 1
            state.skipped_in_a_row += 1
        job.optimizer.zero_grad(set_to_none=True)
    state.tokens += sum(batch.packed.input_ids.numel() for batch in batches)
    state.step += 1
    job.log.advance(state.step, tokens=state.tokens)
    if state.skipped_in_a_row:
        refuse_or_warn(job, state, grad_norm, rows)


def backward_within_memory(job: Job, state: State, batches: list[Any], units: int) -> list[dict[str, tuple[Tensor, int]]]:
    """`backward`; out of memory it starts over with more layers recomputed, which changes no result.

    Raises torch.OutOfMemoryError when every layer is, or when weights have stepped in the backward pass and cannot be taken back.
    """
    model = job.model
    while True:
        try:
            return backward(job, state, batches, units)
        except torch.OutOfMemoryError:
            job.optimizer.zero_grad(set_to_none=True)
            if model.recompute_layers >= model.cfg.num_hidden_layers or job.cfg.optim.in_backward:
                raise
        # only here, behind the except block, is the failed pass's memory free: the error holds its frames
        model.recompute_layers = min(model.recompute_layers + MORE_LAYERS, model.cfg.num_hidden_layers)
        if job.device.type == "cuda":
            torch.cuda.empty_cache()
        now = f"{model.recompute_layers} of {model.cfg.num_hidden_layers} layers are recomputed from now on"
        job.log.warn(f"step {state.step + 1}: out of memory; {now}, and the step starts over")


def backward(job: Job, state: State, batches: list[Any], units: int) -> list[dict[str, tuple[Tensor, int]]]:
    """Leaves the gradient of step `state.step` in the parameters; the metrics of its micro-batches."""
    torch.manual_seed(random.Random(f"{job.cfg.seed}/dropout/{state.step}").getrandbits(63))
    with job.part(PREPARE), job.autocast():
        batches = job.stage.prepare(job.policy, batches)
    sums: list[dict[str, tuple[Tensor, int]]] = []
    for batch in batches:
        with job.part(FORWARD), job.autocast():
            losses, metrics = job.stage.loss(job.policy, batch)
        with job.part(BACKWARD):
            (losses.sum() / units).backward()
        sums.append(metrics | {"loss": (losses.detach().sum(), batch.units)})
    return sums


def gradient_norm(job: Job) -> Tensor:
    """The norm () that the step's gradient had before it was clipped."""
    cfg = job.cfg.optim
    if isinstance(job.optimizer, TensorAdamW) and cfg.in_backward:
        return job.optimizer.pop_norm()
    return clip(job.parameters, cfg.max_grad_norm, each=cfg.clip == "tensor")


def refuse_or_warn(job: Job, state: State, grad_norm: float, rows: list[list[int]]) -> None:
    places = [job.examples[i].where for indices in rows for i in indices]
    shown = ", ".join(places[:3]) + (f" and {len(places) - 3} more" if len(places) > 3 else "")
    left = "tensors with such a gradient" if job.cfg.optim.in_backward else "the step is skipped, weights and moments"
    job.log.warn(f"step {state.step}: gradient norm is {grad_norm}; {left} stay as they were; rows {shown}")
    if state.skipped_in_a_row >= job.cfg.nonfinite_limit:
        raise NonFinite(
            f"step {state.step}: {state.skipped_in_a_row} steps in a row without a finite gradient (nonfinite_limit); "
            f"lower optim.lr or look at rows {shown}"
        )


def settle(job: Job, state: State) -> None:
    """Adds the metrics of all finished steps to `state.window`, with one wait for the device."""
    named = [(name, value, count) for metrics in job.pending for name, (value, count) in metrics.items()]
    if named:
        values = torch.stack([value.double() for _, value, _ in named]).tolist()  # sync
        for (name, _, count), value in zip(named, values):
            total, n = state.window.get(name, (0.0, 0))
            state.window[name] = (total + value, n + count)
    job.pending.clear()


def add(window: Sums, metrics: dict[str, tuple[Tensor, int]]) -> None:
    for name, (value, count) in metrics.items():
        total, n = window.get(name, (0.0, 0))
        window[name] = (total + float(value), n + count)  # sync


def do_what_is_due(job: Job, state: State) -> None:
    """Logs, evaluates and saves at `state.step`; doing it twice does nothing, so a resumed run catches up here."""
    every, planned = job.cfg.checkpoint, len(job.steps)
    is_last = is_finished(job.cfg, planned, state)
    if state.step % job.cfg.log_every == 0 or is_last:
        log_window(job, state)
    is_evaluated = is_better = False
    if job.is_evaluated and state.step > state.last_eval_step and (state.step % every.eval_every == 0 or is_last):
        began = time.monotonic()
        values = evaluate(job) if job.eval_examples else {}
        tasks = answer_probe(job)
        is_evaluated, is_better = True, note_evaluation(job, state, values, tasks, took_s=time.monotonic() - began)
    if is_finished(job.cfg, planned, state):  # perhaps by what was just evaluated
        is_last = True
        log_window(job, state)
    # a step that was saved when its evaluation was interrupted is saved again with its values
    if (state.step > job.saved_step or is_evaluated) and (state.step % every.save_every == 0 or is_better or is_last):
        save(job, state, is_last=is_last)


def log_window(job: Job, state: State) -> None:
    """Logs the means since the last logged step, if there was any step since."""
    if state.step == state.last_log_step:
        return
    settle(job, state)
    values = {name: total / n for name, (total, n) in state.window.items() if n}
    values["lr"] = learning_rate(state.step - 1, job.cfg.optim, len(job.steps))
    job.log.train(state.step, job.stage.summarise(values) | {"skipped": state.skipped}, tokens=state.tokens)
    state.last_log_step, state.window = state.step, {}


@torch.no_grad()
def evaluate(job: Job) -> dict[str, float]:
    """Means over the held-out rows, weighted by unit; weights, mode and random state stay as they are."""
    tokens = [example.tokens for example in job.eval_examples]
    plan = cut(range(len(tokens)), tokens, job.cfg.batch.micro_batch_tokens)
    job.model.eval()
    try:
        batches = [job.stage.collate([job.eval_examples[i] for i in indices]).to(job.device) for indices in plan]
        sums: Sums = {}
        with job.autocast():
            for batch in job.stage.prepare(job.policy, batches):
                losses, metrics = job.stage.loss(job.policy, batch)
                add(sums, metrics | {"loss": (losses.sum(), batch.units)})
    finally:
        job.model.train()
    return job.stage.summarise({name: total / n for name, (total, n) in sums.items() if n})


def answer_probe(job: Job) -> dict[str, float]:
    """The probe's task/... values, {} without a probe."""
    if job.probe is None:
        return {}
    with job.autocast():
        return job.probe()


def note_evaluation(job: Job, state: State, values: dict[str, float], tasks: dict[str, float], *, took_s: float) -> bool:
    """Logs the held-out values and the task metrics; whether they are the best so far, which ties and NaN never are."""
    state.last_eval_step = state.step
    if values:
        state.first_eval = state.first_eval or values
        state.saturated_evals = state.saturated_evals + 1 if job.stage.is_saturated(values) else 0
        for remark in job.stage.remarks(state.first_eval, values):
            job.log.warn(f"step {state.step}: {remark}")
    named = {f"eval/{name}": value for name, value in values.items()} | tasks
    job.log.eval(state.step, named, took_s=took_s)
    name = job.cfg.checkpoint.best_metric
    refuse_unknown_metric(name, named)
    value = named[name]
    is_better = math.isfinite(value) and (
        state.best_value is None or (value < state.best_value if goes_down(name) else value > state.best_value)
    )
    if is_better:
        state.best_value, state.best_step, state.evals_without_better = value, state.step, 0
    else:
        state.evals_without_better += 1
    return is_better


def refuse_unknown_metric(best_metric: str, evaluated: Iterable[str]) -> None:
    names = sorted(evaluated)
    if best_metric not in names:
        kind = "task/" if best_metric.startswith("task/") else "eval/"
        known = [name.removeprefix(kind) for name in names if name.startswith(kind)]
        raise ValueError(f"checkpoint.best_metric is '{best_metric}'; this run has {kind} with {', '.join(known) or 'nothing'}")


def goes_down(metric: str) -> bool:
    """Whether less is better: losses, perplexities, divergences and false answers."""
    return any(word in metric for word in ("loss", "perplexity", "kl", "false_", "collapse"))


def save(job: Job, state: State, *, is_last: bool) -> None:
    """A checkpoint of `state.step`; a disk that takes none is survived twice in a row, unless nothing comes after it."""
    settle(job, state)
    state.log_rows = job.log.rows
    try:
        folder = checkpoint.save(job.run_dir, state.step, lambda tmp: job.write(tmp, state), meta={"run": job.run_id})
        publish(job, state, folder)
    except checkpoint.SaveFailed as failure:
        job.failed_saves += 1
        if job.failed_saves >= SAVES_TO_FAIL or is_last:
            raise
        # a best that is nowhere to be found must not keep a lesser one, which can be, from being kept
        state.best_value, state.best_step = job.saved_best
        job.log.warn(f"{failure}; training goes on, the next try is in {job.cfg.checkpoint.save_every} steps")
        return
    job.failed_saves, job.saved_step, job.saved_best = 0, state.step, (state.best_value, state.best_step)


def publish(job: Job, state: State, folder: Path) -> None:
    """Makes `folder`, the checkpoint of `state`, the latest and perhaps the best, and rotates; doing it twice does nothing."""
    checkpoint.point(job.run_dir, "latest", folder)
    if state.best_step == state.step or not job.is_evaluated:
        checkpoint.point(job.run_dir, "best", folder)
    checkpoint.rotate(job.run_dir, job.cfg.checkpoint.keep, protect=[job.resumed_from] if job.resumed_from else [])


def state_from_json(data: dict[str, Any]) -> State:
    return State(**(data | {"window": {name: (total, n) for name, (total, n) in data["window"].items()}}))
