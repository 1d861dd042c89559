"""The decoder against transformers: logits, every gradient, and padded rows, for each family."""

import os
import subprocess
import sys

import pytest
import torch
from devices import DEVICES, GPU
from tiny_models import FAMILIES, VOCAB, exact_norms, oracle, twin
from torch.testing import assert_close

from vgpt2.config import LoRAConfig
from vgpt2.lora import add_lora
from vgpt2.packing import IGNORE, pack

LENGTHS = (9, 4, 14, 1, 6)


def rows(seed=0):
    """Ragged (input_ids, completion_mask): the first third of each row is prompt."""
    generator = torch.Generator().manual_seed(seed)
    ids = [torch.randint(VOCAB, (length,), generator=generator).tolist() for length in LENGTHS]
    return [(row, [t >= len(row) // 3 for t in range(len(row))]) for row in ids]


def padded(sequences, side):
    """input_ids, attention_mask, position_ids and completion_mask (N, longest) as transformers takes them."""
    longest = max(len(ids) for ids, _ in sequences)
    tensors = []
    for values in ([ids for ids, _ in sequences], [[1] * len(ids) for ids, _ in sequences], [mask for _, mask in sequences]):
        fill = [[0] * (longest - len(row)) for row in values]
        tensors.append(torch.tensor([f + list(row) if side == "left" else list(row) + f for f, row in zip(fill, values)]))
    input_ids, attention_mask, completion_mask = tensors
    return input_ids, attention_mask, (attention_mask.cumsum(1) - 1).clamp(min=0), completion_mask.bool()


def oracle_logps(model, sequences, side):
    """Per row the log-probabilities of its completion tokens, from padded rows; and the logits they came from."""
    input_ids, attention_mask, position_ids, completion_mask = padded(sequences, side)
    logits = model(input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids).logits
    logits.retain_grad()
    token_logps = logits[:, :-1].log_softmax(-1).gather(-1, input_ids[:, 1:, None])[..., 0]  # (N, longest - 1)
    return (token_logps * (completion_mask[:, 1:] & attention_mask[:, :-1].bool())).sum(1), logits


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_and_every_gradient_equal_transformers(family):
    """fp64, one unpadded row: nothing but the arithmetic of the layers differs."""
    model = oracle(family)
    ours = twin(model)
    ids = torch.randint(VOCAB, (50,))
    with exact_norms(model):
        expected = model(input_ids=ids[None]).logits[0]
        expected.log_softmax(-1)[:-1].gather(1, ids[1:, None]).sum().backward()
    packed = pack([(ids.tolist(), [True] * 50)])
    assert_close(ours.logits(packed), expected, rtol=0, atol=1e-10)
    ours(packed).sum().backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert gradients.keys() == dict(ours.named_parameters()).keys()
    for name, parameter in ours.named_parameters():
        assert gradients[name].abs().max() > 1e-3, name
        assert_close(parameter.grad, gradients[name], rtol=1e-10, atol=1e-10, msg=name)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("family", FAMILIES)
def test_fp32_logits_equal_transformers_as_it_stands(family, device):
    """Norms untouched: transformers' own fp32."""
    model = oracle(family, dtype=torch.float32).to(device)
    ids = torch.randint(VOCAB, (50,))
    packed = pack([(ids.tolist(), [True] * 50)]).to(device)
    with torch.no_grad():
        expected = model(input_ids=ids[None].to(device)).logits[0]
        assert_close(twin(model).to(device).logits(packed), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("device", "kernels"), [("cpu", "auto"), pytest.param("cuda", "auto", marks=GPU), pytest.param("cuda", "reference", marks=GPU)]
)
@pytest.mark.parametrize("family", FAMILIES)
def test_bf16_logits_and_gradients_are_as_near_to_fp64_as_transformers(family, device, kernels, monkeypatch):
    """Of the same rounded weights; ours may be half as far again. On a card by flash attention, with Triton's kernels and without."""
    monkeypatch.setenv("VGPT2_KERNELS", kernels)
    theirs, exact = oracle(family, dtype=torch.bfloat16).to(device), oracle(family).to(device)
    exact.load_state_dict(theirs.state_dict())
    theirs.model.rotary_emb.inv_freq = exact.model.rotary_emb.inv_freq.float()  # the cast has rounded it too
    ours = twin(theirs).to(device)
    ids = torch.randint(VOCAB, (50,), generator=torch.Generator().manual_seed(0))
    packed, ids = pack([(ids.tolist(), [True] * 50)]).to(device), ids.to(device)

    def scored(model) -> torch.Tensor:
        logits = model(input_ids=ids[None]).logits[0]
        logits.log_softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32))[:-1].gather(1, ids[1:, None]).sum().backward()
        return logits.detach()

    with exact_norms(exact):
        expected, coarse = scored(exact), scored(theirs)
    with torch.no_grad():
        logits = ours.logits(packed)
    ours(packed).sum().backward()
    gradients = [dict(model.named_parameters()) for model in (exact, theirs, ours)]
    names = list(gradients[2])
    whole, far, near = (torch.cat([named[name].grad.double().flatten() for name in names]) for named in gradients)
    for mine, other, truth in ((logits, coarse, expected), (near, far, whole)):
        assert (mine - truth).norm() <= 1.5 * (other - truth).norm() < 0.1 * truth.norm()


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("family", ["smollm2", "qwen2.5", "qwen3"])
def test_a_pack_scores_and_learns_like_padded_rows(family, side):
    """INVARIANTS 9, 8, 5: sequence log-probabilities and every gradient, against transformers with padding on either side."""
    model = oracle(family)
    with exact_norms(model):
        expected, _ = oracle_logps(model, rows(), side)
        expected.sum().backward()
    ours, packed = twin(model), pack(rows())
    token_logps = ours(packed).double()
    assert_close(torch.stack([part.sum() for part in token_logps.split(LENGTHS)]), expected, rtol=0, atol=1e-10)
    token_logps.sum().backward()
    gradients = dict(model.named_parameters())
    for name, parameter in ours.named_parameters():
        assert_close(parameter.grad, gradients[name].grad, rtol=1e-10, atol=1e-10, msg=name)


def test_nothing_is_learnt_from_positions_whose_target_is_prompt():
    """INVARIANTS 6: the rows where padded transformers' logits get a gradient are exactly the positions that carry a label here."""
    model = oracle("llama")
    expected, logits = oracle_logps(model, rows(), "right")
    expected.sum().backward()
    packed = pack(rows())
    learns = torch.cat([row[:length] for row, length in zip(logits.grad.abs().sum(-1) > 0, LENGTHS)])
    assert torch.equal(learns, packed.labels != IGNORE)

    ours = twin(model)
    hidden = []
    ours.model.norm.register_forward_hook(lambda module, args, output: hidden.append(output) or output.retain_grad())
    ours(packed).sum().backward()
    assert torch.equal(hidden[0].grad.abs().sum(-1) > 0, learns)


def test_packed_equals_alone():
    """INVARIANTS 7, 8, 9: each sequence scores the same in a pack and by itself, the last token of each predicts nothing."""
    ours = twin(oracle("qwen2.5"))
    together, alone = ours(pack(rows())), [ours(pack([row])) for row in rows()]
    assert_close(together, torch.cat(alone), rtol=0, atol=1e-10)
    assert_close(together.sum(), sum(part.sum() for part in alone), rtol=0, atol=1e-10)
    assert all(part[-1] == 0 for part in together.split(LENGTHS))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_changing_a_token_of_one_sequence_leaves_the_others_bit_identical(dtype):
    """INVARIANTS 7."""
    ours = twin(oracle("smollm2", dtype=dtype))
    changed = rows()
    changed[0][0][3] = (changed[0][0][3] + 1) % VOCAB
    with torch.no_grad():
        before, after = ours.logits(pack(rows())), ours.logits(pack(changed))
    assert torch.equal(before[9:], after[9:])
    assert not torch.equal(before[3:9], after[3:9])


@pytest.mark.parametrize("recompute", [1, 2])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_recomputed_layers_give_the_same_loss_and_gradients(recompute, dropout):
    """INVARIANTS 25: dropout included, and with a frozen base every trainable parameter gets a gradient."""
    results = []
    for layers in (0, recompute):
        ours = twin(oracle("llama", dtype=torch.float32))
        add_lora(ours, LoRAConfig(rank=4, alpha=8, dropout=dropout), seed=0)
        for name, parameter in ours.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(1))
        ours.recompute_layers = layers
        torch.manual_seed(7)
        loss = ours(pack(rows())).sum()
        loss.backward()
        results.append((loss, {name: parameter.grad for name, parameter in ours.named_parameters() if parameter.requires_grad}))
    (loss, gradients), (loss_again, gradients_again) = results
    assert torch.equal(loss, loss_again)
    assert len(gradients) == 2 * 2 * 7  # A and B of seven linears in two layers
    for name in gradients:
        assert gradients[name].abs().sum() > 0, name
        assert torch.equal(gradients[name], gradients_again[name]), name


def test_recomputation_keeps_fewer_tensors_and_is_off_without_gradients():
    def kept_bytes(layers):
        ours = twin(oracle("llama", dtype=torch.float32))
        ours.recompute_layers = layers
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda tensor: sizes.append(tensor.nbytes) or tensor, lambda tensor: tensor):
            ours(pack(rows()))
        return sum(sizes)

    assert kept_bytes(2) < kept_bytes(1) < kept_bytes(0)


def test_under_autocast_the_residual_stream_keeps_the_embeddings_dtype_and_scores_stay_fp32():
    for dtype in (torch.float32, torch.bfloat16):
        ours = twin(oracle("qwen3", dtype=dtype))
        seen = {}
        ours.model.layers[1].register_forward_hook(lambda module, args, output, seen=seen: seen.update(residual=output.dtype))
        ours.model.layers[1].mlp.register_forward_hook(lambda module, args, output, seen=seen: seen.update(matmul=output.dtype))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            token_logps = ours(pack(rows()))
        token_logps.sum().backward()
        assert seen == {"residual": dtype, "matmul": torch.bfloat16}
        assert token_logps.dtype == torch.float32


def test_rotary_angles_survive_a_cast_of_the_model_to_16_bits():
    ours = twin(oracle("llama-3.1"))
    before = ours.inv_freq.clone()
    ours.to(torch.bfloat16)
    assert ours.inv_freq.dtype == torch.float32
    assert torch.equal(ours.inv_freq, before)


def test_a_layers_attention_can_be_given_from_outside():
    """Generation reads and writes a cache through `attend`; here one token at a time equals the whole sequence at once."""
    ours = twin(oracle("smollm2"))
    ids = rows()[2][0]
    whole = ours.logits(pack([(ids, [True] * len(ids))]))
    cache = {}

    def attend(layer, q, k, v):
        keys, values = cache.get(layer, (k[:0], v[:0]))
        keys, values = cache[layer] = torch.cat((keys, k)), torch.cat((values, v))
        scores = torch.einsum("qhd,kgd->hqk", q, keys) / q.shape[-1] ** 0.5  # one key head serves all query heads
        return torch.einsum("hqk,kgd->qhd", scores.softmax(-1), values)

    for t, token in enumerate(ids):
        hidden = ours.hidden(torch.tensor([token]), torch.tensor([t]), attend)
        assert_close(hidden @ ours.lm_head.weight.t(), whole[t : t + 1], rtol=0, atol=1e-10)


def test_the_model_imports_and_runs_without_cuda_triton_and_bitsandbytes():
    """INVARIANTS 47."""
    script = (
        "import sys; sys.modules.update(dict.fromkeys(['triton', 'bitsandbytes', 'transformers', 'gguf']))\n"
        "import torch, vgpt2.weights, vgpt2.embedded\n"
        "from vgpt2.model import CausalLM, ModelConfig; from vgpt2.packing import pack\n"
        "model = CausalLM(ModelConfig('llama', 50, 16, 32, 1, 2, 1, 8))\n"
        "model(pack([([1, 2, 3], [0, 1, 1])])).sum().backward()\n"
        "assert not torch.cuda.is_available()\n"
    )
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
