"""The chunked head against a double loop, finite differences and fp64."""

import math

import pytest
import torch
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import kernels.linear_logps as module
from kernels.linear_logps import IGNORE, hand_tiles_to, linear_logits, linear_logps


@pytest.fixture(autouse=True)
def _small_tiles(monkeypatch):
    """Several tiles of the vocabulary, the last one ragged, in every test."""
    monkeypatch.setattr(module, "TILE_CPU", 10)


def case(T=9, D=6, V=23, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(T, D, dtype=torch.float64, generator=generator).to(dtype)
    weight = torch.randn(V, D, dtype=torch.float64, generator=generator).to(dtype)
    labels = torch.randint(V, (T,), generator=generator)
    labels[::3] = IGNORE
    return hidden, weight, labels


def naive(hidden, weight, labels):
    """A double loop: softmax by its definition, one token after the other."""
    token_logps = []
    for h, label in zip(hidden, labels.tolist()):
        if label == IGNORE:
            token_logps.append(hidden.new_zeros(()))
            continue
        scores = [torch.dot(h, w) for w in weight]
        token_logps.append(scores[label] - torch.stack(scores).exp().sum().log())
    return torch.stack(token_logps)


@pytest.mark.parametrize("chunk", [1, 2, 6, 7, 100])
@pytest.mark.parametrize("trains_head", [False, True])
def test_value_and_gradients_equal_a_double_loop_for_every_chunk(chunk, trains_head):
    """INVARIANTS 16, 5: chunk sizes 1, ragged, exact (6 labels), larger than the batch; each token has its own upstream factor."""
    hidden, weight, labels = case()
    upstream = torch.randn(len(labels), dtype=torch.float64)
    expected_inputs = (hidden.clone().requires_grad_(), weight.clone().requires_grad_())
    expected = naive(*expected_inputs, labels)
    expected_grads = torch.autograd.grad(expected @ upstream, expected_inputs)

    hidden.requires_grad_()
    weight.requires_grad_(trains_head)
    token_logps = linear_logps(hidden, weight, labels, chunk)
    (token_logps @ upstream).backward()
    assert_close(token_logps, expected, rtol=0, atol=1e-12)
    assert_close(hidden.grad, expected_grads[0], rtol=0, atol=1e-12)
    if trains_head:
        assert_close(weight.grad, expected_grads[1], rtol=0, atol=1e-12)
    else:
        assert weight.grad is None


def test_gradients_against_finite_differences():
    hidden, weight, labels = case(T=4, D=3, V=12)
    inputs = (hidden.requires_grad_(), weight.requires_grad_())
    assert torch.autograd.gradcheck(lambda hidden, weight: linear_logps(hidden, weight, labels, 2), inputs)


def test_a_head_that_trains_alone_gets_its_gradient():
    hidden, weight, labels = case()
    expected = weight.clone().requires_grad_()
    naive(hidden, expected, labels).sum().backward()
    weight.requires_grad_()
    linear_logps(hidden, weight, labels).sum().backward()
    assert_close(weight.grad, expected.grad, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_weight_may_take_its_gradient_in_tiles_as_often_as_it_wants(dtype):
    """The tiles are the rows of the gradient, in order, to the last bit where that one rounds them; a taken row may change at once."""
    hidden, weight, labels = case(dtype=dtype)
    whole = weight.clone().requires_grad_()
    linear_logps(hidden, whole, labels, 2).sum().backward()
    weight.requires_grad_()
    walks = []

    def take(walk):
        for _ in range(2):
            walk(lambda rows, tile: walks.append((rows, tile)))
        walk(lambda rows, tile: weight.data[rows].sub_(tile))

    before = weight.detach().clone()
    hand_tiles_to(take, weight)
    linear_logps(hidden, weight, labels, 2).sum().backward()
    assert weight.grad is None
    assert [(rows.start, rows.stop) for rows, _ in walks] == 2 * [(0, 10), (10, 20), (20, 23)]
    for tiles in (walks[:3], walks[3:]):
        assert torch.equal(torch.cat([tile for _, tile in tiles]).to(dtype), whole.grad)
    assert torch.equal(weight, torch.cat([before[rows].sub_(tile) for rows, tile in walks[:3]]))


def test_ignored_positions_are_exactly_zero_in_value_and_gradient():
    """INVARIANTS 6: nothing flows through a position without a label, whatever comes from above."""
    hidden, weight, labels = case()
    hidden.requires_grad_()
    token_logps = linear_logps(hidden, weight, labels)
    (token_logps * 1e9).sum().backward()
    assert (token_logps[labels == IGNORE] == 0).all()
    assert (hidden.grad[labels == IGNORE] == 0).all()
    assert (hidden.grad[labels != IGNORE] != 0).all()


@pytest.mark.parametrize("T", [0, 5])
def test_no_label_at_all_gives_zeros_and_zero_gradients(T):
    """INVARIANTS 22: an empty selection is a value of 0 with zero gradient, not an error and not NaN."""
    hidden, weight, _ = case(T=T)
    hidden.requires_grad_()
    weight.requires_grad_()
    token_logps = linear_logps(hidden, weight, torch.full((T,), IGNORE))
    token_logps.sum().backward()
    assert token_logps.shape == (T,)
    assert not token_logps.any()
    assert not hidden.grad.any()
    assert not weight.grad.any()


def test_scores_are_never_positive_however_sure_the_model_is():
    hidden = torch.tensor([[1000.0, 0.0], [30.0, 30.0]])
    weight = torch.cat((torch.eye(2) * 40, -torch.ones(21, 2)))
    token_logps = linear_logps(hidden, weight, torch.tensor([0, 1]))
    assert_close(token_logps, torch.tensor([0.0, -math.log(2)]))
    assert (token_logps <= 0).all()


def test_16_bit_weights_score_like_fp64_and_rounded_logits_do_not():
    """INVARIANTS 15: within 1e-3 a token and 1e-5 of the sum over 2,048 tokens; a softmax over bf16 logits fails both bounds."""
    hidden, weight, labels = case(T=2048, D=64, V=500, dtype=torch.bfloat16)
    labels = labels.where(labels != IGNORE, 1)
    exact = linear_logits(hidden.double(), weight.double()).log_softmax(-1).gather(1, labels[:, None])[:, 0]

    def is_good(token_logps):
        error = token_logps.double() - exact
        return error.abs().max() <= 1e-3 and error.sum().abs() <= 1e-5 * exact.sum().abs()

    token_logps = linear_logps(hidden, weight, labels)
    assert token_logps.dtype == torch.float32
    assert is_good(token_logps)
    rounded = (hidden @ weight.t()).float().log_softmax(-1).gather(1, labels[:, None])[:, 0]
    assert not is_good(rounded)


def test_16_bit_gradients_are_the_fp64_gradients_rounded():
    hidden, weight, labels = case(T=40, D=16, V=60, dtype=torch.bfloat16)
    upstream = torch.randn(len(labels))
    exact = (hidden.double().requires_grad_(), weight.double().requires_grad_())
    (linear_logps(*exact, labels) @ upstream.double()).backward()
    ours = (hidden.requires_grad_(), weight.requires_grad_())
    (linear_logps(*ours, labels) @ upstream).backward()
    for one, other in zip(ours, exact):
        assert one.grad.dtype == torch.bfloat16
        assert_close(one.grad.double(), other.grad, rtol=2**-8, atol=1e-5)


def test_autocast_changes_nothing():
    hidden, weight, labels = case(dtype=torch.float32)
    hidden.requires_grad_()
    plain = linear_logps(hidden, weight, labels)
    plain.sum().backward()
    expected, hidden.grad = hidden.grad, None
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = linear_logps(hidden, weight, labels)
        cast.sum().backward()
    assert torch.equal(cast, plain)
    assert torch.equal(hidden.grad, expected)


def test_without_gradients_no_gradient_is_made():
    hidden, weight, labels = case()
    hidden.requires_grad_()
    with LargestTensor() as seen, torch.no_grad():
        token_logps = linear_logps(hidden, weight, labels)
    assert not token_logps.requires_grad
    assert seen.matmuls == 3  # one a tile of 23 entries: logits only


class LargestTensor(TorchDispatchMode):
    """Notes the number of elements of the largest tensor any operation returns, and counts matmuls."""

    def __init__(self):
        super().__init__()
        self.largest = self.matmuls = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        output = function(*args, **(kwargs or {}))
        self.matmuls += function is torch.ops.aten.mm.default
        sizes = [leaf.numel() for leaf in tree_leaves(output) if isinstance(leaf, torch.Tensor) and leaf._base is None]
        self.largest = max([self.largest, *sizes])
        return output


@pytest.mark.parametrize("trains_head", [False, True])
def test_no_tensor_as_large_as_all_logits_is_ever_made(trains_head):
    T, D, V = 300, 4, 500
    hidden, weight, labels = case(T, D, V, dtype=torch.bfloat16)
    hidden.requires_grad_()
    weight.requires_grad_(trains_head)
    with LargestTensor() as seen:
        linear_logps(hidden, weight, labels, chunk=50).sum().backward()
    assert seen.largest <= max(V * D, T * D, 50 * 10)  # against T * V = 150,000


@pytest.mark.parametrize("shapes", [((3, 4), (5, 6), (3,)), ((3, 4), (5, 4), (2,)), ((1, 3, 4), (5, 4), (3,))])
def test_other_shapes_are_refused(shapes):
    hidden, weight, labels = (torch.zeros(shape) for shape in shapes)
    with pytest.raises(ValueError, match=r"must be \(T, D\), \(V, D\) and \(T,\)"):
        linear_logps(hidden, weight, labels.long())


def test_logits_come_out_in_fp32_and_fp64_stays():
    hidden, weight, _ = case(dtype=torch.bfloat16)
    logits = linear_logits(hidden, weight)
    assert logits.dtype == torch.float32
    assert_close(logits.double(), hidden.double() @ weight.double().t(), rtol=1e-6, atol=1e-6)
    assert linear_logits(hidden.double(), weight.double()).dtype == torch.float64
