import math

import torch
from tiny_jobs import tiny_model
from torch.testing import assert_close

from vgpt2.neftune import add_noise
from vgpt2.packing import pack

LENGTHS = (4, 30)
PACKED = pack([([7] * length, [True] * length) for length in LENGTHS])


def embedded(model) -> torch.Tensor:
    """What the first layer gets in one forward."""
    seen = []
    handle = model.model.layers[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    model(PACKED)
    handle.remove()
    return seen[0]


def test_the_noise_is_uniform_and_shrinks_with_the_root_of_length_times_width():
    model = tiny_model(dtype=torch.float32)
    bare = embedded(model)
    add_noise(model, 5.0)
    torch.manual_seed(0)
    short, long = (embedded(model) - bare).split(LENGTHS)
    for noise, length in ((short, 4), (long, 30)):
        reach = 5.0 / math.sqrt(length * 64)
        assert 0.97 * reach < noise.abs().max() <= reach * (1 + 1e-5)
        assert_close(noise.std(), torch.tensor(reach / math.sqrt(3)), rtol=0.1, atol=0)  # of a uniform variable in +-reach
        assert noise.mean().abs() < 0.1 * reach


def test_evaluation_sees_no_noise_and_equal_seeds_give_equal_noise():
    model = tiny_model(dtype=torch.float32)
    bare = embedded(model)
    add_noise(model, 5.0)
    model.eval()
    assert torch.equal(embedded(model), bare)
    model.train()
    first, second = ((torch.manual_seed(3), embedded(model))[1] for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, embedded(model))


def test_the_noise_lets_gradients_pass_to_a_trained_embedding():
    model = tiny_model()
    add_noise(model, 5.0)
    model(PACKED).sum().backward()
    assert model.model.embed_tokens.weight.grad[7].abs().max() > 0
