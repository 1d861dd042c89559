"""AdamW's groups, the learning rate in closed form, clipping, and moments that survive a file."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_jobs import sft_rows, tiny_config, tiny_job
from torch import Tensor, nn
from torch.testing import assert_close
from transformers import get_cosine_schedule_with_warmup

from vgpt2 import loop
from vgpt2.config import OptimConfig
from vgpt2.optim import build, clip, learning_rate, state_to_tensors, tensors_to_state


class Net(nn.Module):
    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.embed = nn.Embedding(7, 4)
        self.norm = nn.LayerNorm(4)
        self.out = nn.Linear(4, 3)
        self.frozen = nn.Linear(3, 3).requires_grad_(False)

    def forward(self, ids: Tensor) -> Tensor:
        return self.frozen(self.out(self.norm(self.embed(ids))))


def take_steps(model: Net, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        ids = torch.tensor([step % 7, (3 * step) % 7])
        model(ids).pow(2).sum().backward()
        optimizer.step()
        optimizer.zero_grad()


def test_only_trainable_matrices_decay():
    optimizer = build(Net(), OptimConfig(weight_decay=0.1))
    names = {group["weight_decay"]: group["param_names"] for group in optimizer.param_groups}
    assert names == {0.1: ["embed.weight", "out.weight"], 0.0: ["norm.weight", "norm.bias", "out.bias"]}


def test_lora_plus_groups_are_peft_s(tmp_path: Path):
    """Which parameters step with which learning rate, against create_loraplus_optimizer; and through the loop's schedule."""
    from peft import LoraConfig, get_peft_model
    from peft.optimizers import create_loraplus_optimizer
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "vocab_size": 97, "num_attention_heads": 4}
    theirs = get_peft_model(LlamaForCausalLM(LlamaConfig(**sizes)), LoraConfig(r=4, target_modules=["q_proj", "down_proj"]))
    optimizer = create_loraplus_optimizer(theirs, torch.optim.AdamW, lr=1e-3, loraplus_lr_ratio=16)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    expected = {name.removeprefix("base_model.model.").removesuffix(".default.weight"): rates[id(p)]
                for name, p in theirs.named_parameters() if p.requires_grad}  # fmt: skip

    lora = {"rank": 4, "targets": ["q_proj", "down_proj"], "loraplus_ratio": 16.0}
    job = tiny_job(tiny_config("sft", lora=lora, optim={"lr": 1e-3, "weight_decay": 0.1}), sft_rows(8), tmp_path)
    loop.take_step(job, loop.State())
    groups = job.optimizer.param_groups
    assert {name: group["lr"] for group in groups for name in group["param_names"]} == pytest.approx(expected)
    assert {group["weight_decay"] for group in groups} == {0.1}


def test_the_first_step_by_hand():
    # both moments are corrected for their start, so the first step is lr * g / (|g| + eps) = lr * sign(g), after decay by lr * wd * w
    model = nn.Linear(2, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, -2.0]]))
        model.bias.fill_(0.5)
    optimizer = build(model, OptimConfig(lr=0.1, weight_decay=0.5))
    model.weight.grad, model.bias.grad = torch.tensor([[3.0, -0.25]]), torch.tensor([7.0])
    optimizer.step()
    assert_close(model.weight.detach(), torch.tensor([[1.0 - 0.05 - 0.1, -2.0 + 0.1 + 0.1]]))
    assert_close(model.bias.detach(), torch.tensor([0.5 - 0.1]))


def test_a_model_without_trainable_parameters_is_refused():
    with pytest.raises(ValueError, match="no trainable parameter"):
        build(nn.Linear(2, 2).requires_grad_(False), OptimConfig())


def test_betas_and_eps_arrive():
    (group,) = build(nn.Linear(2, 2, bias=False), OptimConfig(betas=(0.8, 0.9), eps=1e-5)).param_groups
    assert (group["betas"], group["eps"]) == ((0.8, 0.9), 1e-5)


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant", "wsd"])
@pytest.mark.parametrize("floor", [0.0, 0.1, 1.0])
def test_warm_up_rises_evenly_to_exactly_the_peak(schedule: str, floor: float):
    """INVARIANT 38."""
    cfg = OptimConfig(lr=2e-4, schedule=schedule, warmup_steps=10, min_lr_ratio=floor)
    assert learning_rate(10, cfg, 100) == 2e-4
    assert [learning_rate(step, cfg, 100) for step in range(11)] == pytest.approx([2e-4 * k / 11 for k in range(1, 12)])


def test_decay_by_hand():
    """INVARIANT 38."""
    # 4 warm-up steps of 20: step 12 is half way, step 8 a quarter
    linear, cosine = (OptimConfig(lr=1.0, schedule=s, warmup_steps=4, min_lr_ratio=0.2) for s in ("linear", "cosine"))
    assert learning_rate(12, linear, 20) == pytest.approx(0.6)
    assert learning_rate(8, linear, 20) == pytest.approx(0.8)
    assert learning_rate(12, cosine, 20) == pytest.approx(0.6)
    assert learning_rate(8, cosine, 20) == pytest.approx(0.2 + 0.8 * (1 + math.sqrt(0.5)) / 2)


def test_wsd_by_hand():
    # 50 steps, 5 of warm-up, the last fifth falls: 40 is the last step at the peak, 45 is half-way, 49 a tenth above the floor
    cfg = OptimConfig(lr=1.0, schedule="wsd", warmup_steps=5, decay_ratio=0.2, min_lr_ratio=0.5)
    rates = [learning_rate(step, cfg, 50) for step in range(50)]
    assert rates[5:41] == [1.0] * 36
    assert rates[45] == pytest.approx(0.5 + 0.5 * 0.5)
    assert rates[49] == pytest.approx(0.5 + 0.5 * 0.1)


def test_cosine_equals_the_one_of_transformers_after_the_warm_up():
    """INVARIANT 38."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=3e-4)
    schedule = get_cosine_schedule_with_warmup(optimizer, 7, 50)
    cfg = OptimConfig(lr=3e-4, warmup_steps=7)
    for step in range(50):
        if step >= 7:
            assert learning_rate(step, cfg, 50) == pytest.approx(schedule.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize("total", [1, 2, 3, 10, 1000])
@pytest.mark.parametrize("warmup", [{"warmup_ratio": 0.0}, {"warmup_ratio": 0.03}, {"warmup_ratio": 1.0}, {"warmup_steps": 5000}], ids=str)
def test_no_step_is_wasted_at_zero_or_above_the_peak(total: int, warmup: dict[str, float]):
    for schedule in ("cosine", "linear", "constant", "wsd"):
        rates = [learning_rate(step, OptimConfig(lr=1e-3, schedule=schedule, **warmup), total) for step in range(total)]
        assert all(0 < rate <= 1e-3 for rate in rates)


def test_the_warm_up_share_is_rounded_up():
    cfg = OptimConfig(lr=1.0, warmup_ratio=0.03)
    assert learning_rate(1, cfg, 20) == 1.0  # .6 -> 1 step
    assert learning_rate(0, cfg, 20) == 0.5
    assert learning_rate(0, OptimConfig(lr=1.0, warmup_ratio=0.0), 20) == 1.0


def test_clip_returns_the_norm_before_clipping():
    """INVARIANT 27."""
    # 3-4-0 over two tensors: norm 5
    first, second, unused = (nn.Parameter(torch.zeros(2)) for _ in range(3))
    first.grad, second.grad = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 4.0])
    assert clip([first, second, unused], None).item() == 5
    assert first.grad.tolist() == [3, 0]
    assert clip([first, second, unused], 10.0).item() == 5
    assert first.grad.tolist() == [3, 0]
    assert clip(iter([first, second, unused]), 1.0).item() == 5
    assert_close(torch.cat([first.grad, second.grad]), torch.tensor([0.6, 0.0, 0.0, 0.8]))


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_a_gradient_that_is_not_finite_shows_in_the_norm(bad: float):
    """INVARIANT 23, what tells the loop to skip."""
    parameter = nn.Parameter(torch.zeros(3))
    parameter.grad = torch.tensor([1.0, bad, 0.0])
    assert not clip([parameter], 1.0).isfinite()


def test_state_survives_a_file_and_goes_on_bit_for_bit(tmp_path: Path):
    """INVARIANT 29, the optimizer's share of it."""
    whole = Net()
    optimizer = build(whole, OptimConfig(lr=0.01, weight_decay=0.1))
    take_steps(whole, optimizer, range(5))
    save_file(state_to_tensors(optimizer), tmp_path / "state.safetensors")
    weights = {name: tensor.clone() for name, tensor in whole.state_dict().items()}
    take_steps(whole, optimizer, range(5, 10))

    half = Net(seed=1)
    half.load_state_dict(weights)
    resumed = build(half, OptimConfig(lr=0.01, weight_decay=0.1))
    tensors_to_state(resumed, load_file(tmp_path / "state.safetensors"))
    take_steps(half, resumed, range(5, 10))
    assert all(torch.equal(tensor, half.state_dict()[name]) for name, tensor in whole.state_dict().items())
    first, second = state_to_tensors(optimizer), state_to_tensors(resumed)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert first["out.bias.step"].item() == 10


def test_restored_state_shares_no_memory_with_the_tensors_it_came_from():
    model = Net()
    optimizer = build(model, OptimConfig())
    take_steps(model, optimizer, range(1))
    tensors = {key: tensor.clone() for key, tensor in state_to_tensors(optimizer).items()}
    other = build(Net(), OptimConfig())
    tensors_to_state(other, tensors)
    tensors["out.weight.exp_avg"].fill_(9)
    assert not torch.equal(state_to_tensors(other)["out.weight.exp_avg"], tensors["out.weight.exp_avg"])


def test_no_state_before_the_first_step_and_none_restored():
    optimizer = build(Net(), OptimConfig())
    assert state_to_tensors(optimizer) == {}
    model = Net()
    used = build(model, OptimConfig())
    take_steps(model, used, range(1))
    tensors_to_state(used, {})
    assert state_to_tensors(used) == {}


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda t: t.pop("out.bias.step"), r"'out\.bias\.step' is missing \(1 missing, 0 unexpected\)"),
        (lambda t: t.update({"frozen.weight.exp_avg": torch.zeros(3, 3)}), "'frozen.weight.exp_avg' belongs to no trainable"),
        (lambda t: t.update({"out.bias.exp_avg": torch.zeros(4)}), r"'out\.bias\.exp_avg' is \(4,\) torch\.float32"),
        (lambda t: t.update({"out.bias.exp_avg": torch.zeros(3).bfloat16()}), r"torch\.bfloat16; the parameter needs \(3,\) torch\.float"),
        (lambda t: t.update({"out.bias.step": torch.zeros(1)}), r"'out\.bias\.step' is \(1,\)"),
    ],
    ids=["missing", "unexpected", "shape", "dtype", "step"],
)
def test_state_that_does_not_fit_is_refused_by_name(change, message: str):
    model = Net()
    optimizer = build(model, OptimConfig())
    take_steps(model, optimizer, range(1))
    tensors = state_to_tensors(optimizer)
    change(tensors)
    with pytest.raises(ValueError, match=message):
        tensors_to_state(build(Net(), OptimConfig()), tensors)


THREE_STEPS = """
import hashlib, sys, torch
from torch import nn
from vgpt2.config import OptimConfig
from vgpt2.optim import build
torch.set_num_threads(int(sys.argv[1]))
torch.manual_seed(0)
model = nn.Linear(301, 207)
optimizer = build(model, OptimConfig())
for _ in range(3):
    model.weight.grad, model.bias.grad = model.weight.detach().sin(), model.bias.detach()
    optimizer.step()
print(hashlib.sha256(model.weight.detach().numpy().tobytes()).hexdigest())
"""


def test_the_fused_step_gives_equal_bits_on_one_and_two_threads():
    """INVARIANT 48, the optimizer's share of it."""
    command = [sys.executable, "-c", THREE_STEPS]
    digests = {subprocess.run([*command, threads], capture_output=True, text=True, check=True).stdout for threads in ("1", "2")}
    assert len(digests) == 1
