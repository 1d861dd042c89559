"""What every preference loss must obey, whatever its formula."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch import Tensor

from vgpt2 import losses
from vgpt2.losses.apo import apo_zero_unpaired_loss
from vgpt2.losses.dpo import dpo_loss
from vgpt2.losses.hinge import hinge_loss
from vgpt2.losses.ipo import ipo_loss
from vgpt2.losses.kto import kto_loss
from vgpt2.losses.length_normalised import length_normalised_loss
from vgpt2.losses.orpo import orpo_loss
from vgpt2.losses.simpo import simpo_loss

POLICY = torch.tensor([[-2.0, -5.0], [-3.5, -3.0], [-1.0, -8.0]], dtype=torch.float64)
REF = torch.tensor([[-2.5, -4.0], [-3.0, -3.5], [-2.0, -7.5]], dtype=torch.float64)
LENGTHS = torch.tensor([[2, 4], [3, 1], [2, 5]])
LABELS = torch.tensor([True, False, True])
KL = torch.tensor(0.25, dtype=torch.float64)


@dataclass(frozen=True)
class Case:
    loss: Callable[..., tuple[Tensor, Tensor]]
    tensors: tuple[Tensor, ...]
    knobs: dict[str, float] = field(default_factory=dict)

    def __call__(self, policy: Tensor, **changed: float) -> tuple[Tensor, Tensor]:
        return self.loss(policy, *self.tensors[1:], **{**self.knobs, **changed})


WEIGHTS = {"desirable_weight": 1.25, "undesirable_weight": 0.75}
CASES = {
    "dpo": Case(dpo_loss, (POLICY, REF), {"beta": 0.5, "label_smoothing": 0.1}),
    "length_normalised": Case(length_normalised_loss, (POLICY, REF, LENGTHS), {"beta": 2.0}),
    "ipo": Case(ipo_loss, (POLICY, REF, LENGTHS), {"beta": 0.5}),
    "hinge": Case(hinge_loss, (POLICY, REF), {"beta": 0.25}),
    "simpo": Case(simpo_loss, (POLICY, LENGTHS), {"beta": 2.0, "gamma": 0.5}),
    "orpo": Case(orpo_loss, (POLICY, LENGTHS), {"beta": 0.3}),
    "kto": Case(kto_loss, (POLICY[:, 0], REF[:, 0], LABELS, KL), {"beta": 0.5, **WEIGHTS}),
    "apo": Case(apo_zero_unpaired_loss, (POLICY[:, 0], REF[:, 0], LABELS), {"beta": 0.5, **WEIGHTS}),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def test_every_loss_file_is_under_the_laws():
    files = {path.stem for path in Path(losses.__file__).parent.glob("*.py")}
    assert files - {"__init__", "logps", "sft", "rpo"} == set(CASES)


@every_case
def test_every_option_changes_the_loss(case: Case):
    """INVARIANT 18."""
    options = {name for name, p in inspect.signature(case.loss).parameters.items() if p.kind is p.KEYWORD_ONLY}
    assert options == set(case.knobs)
    before, _ = case(case.tensors[0])
    for name, value in case.knobs.items():
        after, _ = case(case.tensors[0], **{name: value * 1.1})
        assert not torch.allclose(before, after), name


@every_case
def test_every_tensor_changes_the_loss(case: Case):
    before, _ = case(case.tensors[0])
    for position, tensor in enumerate(case.tensors):
        changed = list(case.tensors)
        changed[position] = ~tensor if tensor.dtype == torch.bool else tensor + 1 + torch.arange(tensor.numel()).view(tensor.shape)
        after, _ = case.loss(*changed, **case.knobs)
        assert not torch.allclose(before, after), position


@every_case
def test_one_loss_a_unit_and_detached_rewards(case: Case):
    policy = case.tensors[0].clone().requires_grad_()
    losses, rewards = case(policy)
    assert losses.shape == policy.shape[:1]
    assert rewards.shape == policy.shape
    assert losses.requires_grad
    assert not rewards.requires_grad


@every_case
def test_units_do_not_look_at_each_other(case: Case):
    """INVARIANT 4, the loss's share of it: the losses of a batch are the losses of its rows."""
    whole, _ = case(case.tensors[0])
    rows = []
    for n in range(len(whole)):
        tensors = [tensor[n : n + 1] if tensor.dim() else tensor for tensor in case.tensors]
        rows.append(case.loss(*tensors, **case.knobs)[0])
    assert torch.equal(whole, torch.cat(rows))


@every_case
def test_an_empty_batch_gives_zero_with_zero_gradient(case: Case):
    """INVARIANT 22."""
    tensors = [tensor[:0] if tensor.dim() else tensor for tensor in case.tensors]
    policy = tensors[0].clone().requires_grad_()
    total = case.loss(policy, *tensors[1:], **case.knobs)[0].sum()
    total.backward()
    assert total.item() == 0
    assert policy.grad.shape == policy.shape


@every_case
def test_gradients_equal_finite_differences(case: Case):
    policy = case.tensors[0].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: case(x)[0], (policy,))


@every_case
def test_better_answers_cost_less(case: Case):
    """The sign of every loss: raise the good answers, lower the bad ones."""
    policy = case.tensors[0].clone().requires_grad_()
    case(policy)[0].sum().backward()
    good = torch.tensor([[True, False]]).expand(3, 2) if policy.dim() == 2 else LABELS
    assert (policy.grad[good] < 0).all()
    assert (policy.grad[~good] > 0).all()


@every_case
def test_wrong_shapes_are_refused_in_one_line(case: Case):
    with pytest.raises(ValueError, match=r"must have the same shape|must have the shapes") as caught:
        case(case.tensors[0][:2])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) <= 200
