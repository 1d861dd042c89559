"""Inputs of recomputed layers in the host's memory: the same bits, rooms that come back, and copies that nobody overtakes."""

import contextlib
import weakref

import pytest
import torch
from devices import on_gpu
from torch import Tensor

from vgpt2 import offload
from vgpt2.config import LoRAConfig
from vgpt2.lora import add_lora
from vgpt2.model import CausalLM
from vgpt2.model_config import ModelConfig
from vgpt2.offload import Copies, HostMemory
from vgpt2.packing import Packed, pack

CPU = torch.device("cpu")
TINY = ModelConfig("qwen2", 97, 32, 48, 5, 4, 2, 8, qkv_bias=True)


def tiny(lora: LoRAConfig | None, recomputed: int, host: HostMemory | None) -> CausalLM:
    torch.manual_seed(0)
    model = CausalLM(TINY)
    if lora:
        add_lora(model, lora, seed=0)
        for name, parameter in model.named_parameters():
            if name.endswith("lora_B"):
                torch.nn.init.normal_(parameter, std=0.1)
    model.recompute_layers, model.offload = recomputed, host
    return model.train()


def batch_of(*lengths: int) -> Packed:
    return pack([([(7 * i) % 97 for i in range(n)], [False] + [True] * (n - 1)) for n in lengths])


def gradients(model: CausalLM, packed: Packed, dtype: torch.dtype | None = None) -> list[Tensor]:
    """The loss and every gradient of one pass."""
    torch.manual_seed(1)
    model.zero_grad(set_to_none=True)
    with torch.autocast("cpu", dtype) if dtype else contextlib.nullcontext():
        loss = -model(packed).sum()
    loss.backward()
    return [loss.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)]


def assert_same_bits(one: list[Tensor], other: list[Tensor]) -> None:
    assert len(one) == len(other) > 3
    assert all(torch.equal(a, b) for a, b in zip(one, other))


@pytest.mark.parametrize("recomputed", [1, 2, 5])
@pytest.mark.parametrize(
    ("lora", "dtype"),
    [(LoRAConfig(rank=4), torch.bfloat16), (LoRAConfig(rank=4, dropout=0.3), None), (None, torch.bfloat16), (None, None)],
    ids=["lora in bf16", "dropout", "full in bf16", "full"],
)
def test_loss_and_gradients_are_bit_for_bit_those_without(lora, dtype, recomputed):
    packed = batch_of(9, 14)
    plain = gradients(tiny(lora, recomputed, None), packed, dtype)
    host = HostMemory(CPU)
    assert_same_bits(plain, gradients(tiny(lora, recomputed, host), packed, dtype))
    assert len(host.free) == recomputed - 1


class LateCopies:
    """A stream that does nothing before it is waited for; what a copy will write is NaN until then, and nobody may let go of its ends."""

    def __init__(self) -> None:
        self.queue: list[tuple[weakref.ref, weakref.ref]] = []
        self.done = 0
        self.log: list[str] = []

    def start(self, target: Tensor, source: Tensor) -> int:
        target.fill_(float("nan"))
        self.queue.append((weakref.ref(target), weakref.ref(source)))
        self.log.append(f"start {len(self.queue)}")
        return len(self.queue)

    def wait(self, number: int | None) -> None:
        if number is None:
            return
        self.log.append(f"wait {number}")
        for target, source in ((target(), source()) for target, source in self.queue[self.done : number]):
            assert target is not None, "the memory that a copy writes to was let go"
            assert source is not None, "the memory that a copy reads was let go"
            target.copy_(source)
        self.done = max(self.done, number)


def late() -> tuple[HostMemory, LateCopies]:
    host, copies = HostMemory(CPU), LateCopies()
    host.copies = copies  # type: ignore[assignment]
    return host, copies


@pytest.mark.parametrize("lora", [LoRAConfig(rank=4), None], ids=["lora", "full"])
def test_copies_that_run_as_late_as_they_may_give_the_same_bits(lora):
    packed = batch_of(9, 14)
    host, copies = late()
    model = tiny(lora, 4, host)
    plain = gradients(tiny(lora, 4, None), packed)
    for _ in range(2):  # the second time with used rooms
        assert_same_bits(plain, gradients(model, packed))
    assert copies.done == len(copies.queue) == 2 * 2 * 3


def test_a_layers_input_leaves_before_the_layer_runs_and_comes_back_while_the_layer_behind_it_runs_again():
    host, copies = late()
    model = tiny(None, 3, host)
    for index, layer in enumerate(model.model.layers[:3]):
        layer.register_forward_pre_hook(lambda *_, index=index: copies.log.append(f"layer {index}"))
    gradients(model, batch_of(8))
    forward = ["start 1", "layer 0", "wait 1", "start 2", "layer 1", "wait 2", "layer 2"]
    assert copies.log == [*forward, "start 3", "layer 2", "wait 3", "start 4", "layer 1", "wait 4", "layer 0"]


def test_rooms_are_used_again_and_grow_to_the_largest_input():
    host = HostMemory(CPU)
    model = tiny(None, 4, host)
    places = []
    for packed in (batch_of(9), batch_of(9), batch_of(30), batch_of(9)):
        gradients(model, packed)
        places.append(sorted(room.data_ptr() for room in host.free))
    assert places[0] == places[1]
    assert places[2] == places[3]
    assert [room.numel() for room in host.free] == [30 * 32 * 4] * 3


def test_two_graphs_alive_at_once_do_not_share_rooms():
    packed, other = batch_of(9, 14), batch_of(5, 21)
    results = []
    for host in (None, late()[0]):
        model = tiny(None, 5, host)
        (-model(packed).sum() - model(other).sum()).backward()
        results.append([p.grad for p in model.parameters()])
    assert_same_bits(*results)


def test_a_graph_that_is_kept_can_be_walked_twice():
    host, _ = late()
    model = tiny(None, 4, host)
    loss = -model(batch_of(9)).sum()
    weight = model.model.layers[0].mlp.up_proj.weight
    (first,) = torch.autograd.grad(loss, weight, retain_graph=True)
    (second,) = torch.autograd.grad(loss, weight)
    assert torch.equal(first, second)
    assert first.abs().sum() > 0


def test_a_pass_given_up_half_way_gives_its_rooms_back_and_the_next_one_is_whole():
    """Memory that runs out in the backward pass: the loop starts the step over."""
    packed = batch_of(9, 14)
    host, copies = late()
    model = tiny(None, 4, host)
    plain = gradients(tiny(None, 4, None), packed)

    def fail(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    hook = model.model.layers[2].register_full_backward_pre_hook(fail)
    try:
        gradients(model, packed)
    except torch.OutOfMemoryError:
        hook.remove()  # as in the loop, the error and its frames are gone behind this block
    else:
        pytest.fail("the backward pass did not come to layer 2")
    assert len(host.free) == 3
    assert copies.done == len(copies.queue), "a copy into memory that was let go is still to come"
    assert_same_bits(plain, gradients(model, packed))


def test_a_graph_that_is_dropped_gives_everything_back_at_once():
    """No cycle through autograd's own memory, which no collector sees."""
    host, copies = late()
    loss = -tiny(None, 4, host)(batch_of(9)).sum()
    assert host.free == []
    del loss
    assert len(host.free) == 3
    assert copies.done == len(copies.queue)


def test_the_input_that_stays_is_gone_when_its_layer_is_done():
    host, seen = HostMemory(CPU), []
    model = tiny(None, 4, host)
    model.model.layers[3].register_forward_pre_hook(lambda _, args: seen.append(weakref.ref(args[0].untyped_storage())))
    model.model.layers[1].register_forward_pre_hook(lambda *_: seen.append(all(ref() is None for ref in seen[1:])))
    gradients(model, batch_of(9))
    first, *_, input_is_gone = seen  # layer 1, layer 3, layer 3 again, layer 1 again
    assert (first, len(seen), input_is_gone) == (True, 4, True)


def test_a_pass_without_gradients_copies_nothing():
    host, copies = late()
    with torch.no_grad():
        tiny(None, 4, host)(batch_of(9))
    assert copies.log == []
    assert host.free == []


def test_on_a_card_a_copy_waits_for_the_work_before_it_and_only_who_asks_waits_for_the_copy(monkeypatch):
    """The calls that CUDA's streams get, in order; there is no card here."""
    log = []

    class Stream:
        def __init__(self, name):
            self.name = name

        def wait_stream(self, other):
            log.append(f"{self.name} waits for {other.name}")

        def wait_event(self, event):
            log.append(f"{self.name} waits for {event}")

        def record_event(self):
            log.append(f"{self.name} marks")
            return "mark"

    @contextlib.contextmanager
    def on(stream):
        log.append(f"on {stream.name}")
        yield
        log.append("off")

    main = Stream("main")
    monkeypatch.setattr(offload.torch.cuda, "Stream", lambda device: Stream("side"))
    monkeypatch.setattr(offload.torch.cuda, "current_stream", lambda device: main)
    monkeypatch.setattr(offload.torch.cuda, "stream", on)
    copies = Copies(torch.device("cuda"))
    target = torch.zeros(3)
    done = copies.start(target, torch.ones(3))
    copies.wait(done)
    assert log == ["side waits for main", "on side", "side marks", "off", "main waits for mark"]
    assert target.tolist() == [1.0, 1.0, 1.0]


@on_gpu
@pytest.mark.parametrize("lora", [LoRAConfig(rank=16), None], ids=["lora", "full"])
def test_on_a_card_the_bits_are_the_same_and_all_inputs_but_two_are_gone(lora):
    """Twelve layers, 16,384 tokens, D=1024: an input is 32 MiB in bf16, 64 MiB in fp32; ten of them lie in page-locked memory."""
    cfg = ModelConfig("qwen2", 2048, 1024, 1024, 12, 8, 2, 128, qkv_bias=True)
    torch.manual_seed(0)
    with torch.device("cuda"):
        model = CausalLM(cfg).to(torch.bfloat16 if lora else torch.float32)
    if lora:
        add_lora(model, lora, seed=0)
    model.recompute_layers = 12
    packed = pack([([1] * 2048, [False] + [True] * 2047)] * 8).to("cuda")
    results, peaks, host = [], [], HostMemory(torch.device("cuda"))
    for place in (None, None, host, host):  # the first pass makes the gradients
        model.offload = place
        model.zero_grad(set_to_none=False)
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        there = torch.cuda.memory_allocated()
        with torch.autocast("cuda", torch.bfloat16):
            loss = -model(packed).sum()
        loss.backward()
        peaks.append(torch.cuda.max_memory_allocated() - there)
        results.append([loss.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)])
    for other in results[1:]:
        assert_same_bits(results[0], other)
    assert len(host.free) == 11
    assert all(room.is_pinned() for room in host.free)
    one_input = 16_384 * 1024 * (2 if lora else 4)
    for offloaded in peaks[2:]:
        assert peaks[1] - offloaded == pytest.approx(10 * one_input, rel=0.1)
