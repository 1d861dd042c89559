"""Our whole path, packing to loss to gradients, against TRL's trainers on the same weights and rows, dropout off."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_tokenizer
import torch
from torch import Tensor
from torch.testing import assert_close

from vgpt2 import weights
from vgpt2.losses.apo import apo_zero_unpaired_loss
from vgpt2.losses.dpo import dpo_loss
from vgpt2.losses.hinge import hinge_loss
from vgpt2.losses.ipo import ipo_loss
from vgpt2.losses.kto import kto_loss
from vgpt2.losses.length_normalised import length_normalised_loss
from vgpt2.losses.logps import sequence_lengths, sequence_logps
from vgpt2.losses.orpo import orpo_loss
from vgpt2.losses.rpo import chosen_nll
from vgpt2.losses.sft import sft_loss
from vgpt2.losses.simpo import simpo_loss
from vgpt2.model import CausalLM
from vgpt2.packing import pack

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("trl") is None, reason="TRL is not installed"),
    pytest.mark.filterwarnings("ignore"),
]
BETA = 0.3
PAIRS = [
    {"prompt": "Which table holds invoices?", "chosen": " APTH holds it", "rejected": " APTransactions"},
    {"prompt": "Write a query", "chosen": " SELECT 1", "rejected": " SELECT JCJM.Job FROM JCJM"},
    {"prompt": "a", "chosen": " b", "rejected": " c d e"},
]
SIDES = ("chosen", "rejected")
ANSWERS = [{"prompt": row["prompt"], "completion": row[side], "label": side == "chosen"} for row in PAIRS for side in SIDES]
Policy = tuple[Any, CausalLM]  # TRL's and ours, equal weights


def twins(folder: Path, seed: int) -> Policy:
    """A tiny Llama in transformers and the same weights in our model, fp32."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "vocab_size": 400}
    theirs = LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=4, num_key_value_heads=2, initializer_range=0.2))
    theirs.save_pretrained(folder / f"seed-{seed}")
    return theirs, weights.load_model(folder / f"seed-{seed}", dtype=torch.float32, device="cpu")


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    return twins(tmp_path, seed=0)


@pytest.fixture
def reference(tmp_path: Path) -> Policy:
    return twins(tmp_path, seed=1)


def trainer(kind: str, folder: Path, rows: list[dict], models: dict[str, Any], **options: Any) -> Any:
    """One of TRL's trainers with a whole set in one batch."""
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, SFTConfig, SFTTrainer
    from trl.experimental.cpo import CPOConfig, CPOTrainer
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    config, make = {
        "sft": (SFTConfig, SFTTrainer),
        "dpo": (DPOConfig, DPOTrainer),
        "kto": (KTOConfig, KTOTrainer),
        "cpo": (CPOConfig, CPOTrainer),
        "orpo": (ORPOConfig, ORPOTrainer),
    }[kind]
    common = {"use_cpu": True, "bf16": False, "report_to": [], "gradient_checkpointing": False, "disable_tqdm": True}
    args = config(output_dir=str(folder / "trl"), per_device_train_batch_size=len(rows), **common, **options)
    tokenizer = AutoTokenizer.from_pretrained(tiny_tokenizer.chatml(folder / "tokenizer"))
    return make(args=args, train_dataset=Dataset.from_list(rows), processing_class=tokenizer, **models)


def score(model: CausalLM, ids: Tensor, completion_mask: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Our sequence log-probs and lengths (N,) of TRL's padded rows, packed without their padding."""
    rows = zip(ids, completion_mask.bool(), attention_mask.bool())
    packed = pack([(row[keep].tolist(), mask[keep].tolist()) for row, mask, keep in rows])
    return sequence_logps(model(packed), packed.cu_seqlens), sequence_lengths(packed.labels, packed.cu_seqlens)


def pairs(values: Tensor) -> Tensor:
    """(2P,) chosen first, rejected after, as TRL lays them out -> (P, 2)."""
    return values.view(2, -1).t()


def assert_equal_losses_and_gradients(theirs: Tensor, ours: Tensor, policy: Policy) -> None:
    assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    theirs.backward()
    ours.backward()
    expected = {name: parameter.grad for name, parameter in policy[0].named_parameters()}
    for name, parameter in policy[1].named_parameters():
        assert_close(parameter.grad, expected[name], atol=2e-5, rtol=1e-3, msg=lambda text, name=name: f"{name}: {text}")


def test_sft(policy: Policy, tmp_path: Path):
    rows = [{"prompt": row["prompt"], "completion": row["chosen"]} for row in PAIRS]
    theirs = trainer("sft", tmp_path, rows, {"model": policy[0]}, loss_type="nll", max_length=None)
    batch = next(iter(theirs.get_train_dataloader()))
    keep = batch["attention_mask"].bool() if "attention_mask" in batch else torch.ones_like(batch["input_ids"]).bool()
    supervised = batch["labels"] != -100
    packed = pack([(ids[k].tolist(), mask[k].tolist()) for ids, mask, k in zip(batch["input_ids"], supervised, keep)])
    ours = sft_loss(policy[1](packed), packed.labels).mean()
    assert_equal_losses_and_gradients(theirs.compute_loss(policy[0], batch), ours, policy)


DPO_CASES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {  # by TRL's names
    "sigmoid": lambda policy, ref, _: dpo_loss(policy, ref, beta=BETA)[0],
    "hinge": lambda policy, ref, _: hinge_loss(policy, ref, beta=BETA)[0],
    "ipo": lambda policy, ref, lengths: ipo_loss(policy, ref, lengths, beta=BETA)[0],
    "sigmoid_norm": lambda policy, ref, lengths: length_normalised_loss(policy, ref, lengths, beta=BETA)[0],
}


def dpo_batch(policy: Policy, reference: Policy, folder: Path, rows: list[dict], **options: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """TRL's loss, and our policy_logps, ref_logps, lengths (P, 2)."""
    models = {"model": policy[0], "ref_model": reference[0]}
    theirs = trainer("dpo", folder, rows, models, beta=BETA, max_length=None, **options)
    batch = next(iter(theirs.get_train_dataloader()))
    inputs = (batch["input_ids"], batch["completion_mask"], batch["attention_mask"])
    policy_logps, lengths = score(policy[1], *inputs)
    with torch.no_grad():
        ref_logps, _ = score(reference[1], *inputs)
    return theirs._compute_loss(policy[0], batch, False), pairs(policy_logps), pairs(ref_logps), pairs(lengths)


@pytest.mark.parametrize("case", DPO_CASES)
def test_pair_losses(case: str, policy: Policy, reference: Policy, tmp_path: Path):
    """INVARIANTS 9 and 17."""
    theirs, *tensors = dpo_batch(policy, reference, tmp_path, PAIRS, loss_type=[case])
    assert_equal_losses_and_gradients(theirs, DPO_CASES[case](*tensors).mean(), policy)


def test_dpo_with_an_sft_term(policy: Policy, reference: Policy, tmp_path: Path):
    """RPO; TRL averages its SFT term over the batch's tokens, the paper over each answer's: equal for one pair."""
    options = {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.7]}
    theirs, policy_logps, ref_logps, lengths = dpo_batch(policy, reference, tmp_path, PAIRS[:1], **options)
    ours = dpo_loss(policy_logps, ref_logps, beta=BETA)[0] + 0.7 * chosen_nll(policy_logps, lengths)
    assert_equal_losses_and_gradients(theirs, ours.mean(), policy)


def concatenated(theirs: Any, batch: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
    """ids, completion mask and attention mask (2P, T) of TRL's reference-free trainers."""
    inputs = theirs.concatenated_inputs(batch)
    return inputs["concatenated_input_ids"], inputs["concatenated_labels"] != -100, inputs["concatenated_attention_mask"]


CPO_CASES: dict[str, tuple[dict[str, Any], Callable[[Tensor, Tensor], Tensor]]] = {
    "simpo": (
        {"loss_type": "simpo", "simpo_gamma": 0.4},
        lambda policy, lengths: simpo_loss(policy, lengths, beta=BETA, gamma=0.4)[0],
    ),
    "cdpo": (  # without a reference: ours with reference log-probs of 0
        {"loss_type": "sigmoid", "label_smoothing": 0.1},
        lambda policy, _: dpo_loss(policy, torch.zeros_like(policy), beta=BETA, label_smoothing=0.1)[0],
    ),
}


@pytest.mark.parametrize("case", CPO_CASES)
def test_reference_free_pair_losses(case: str, policy: Policy, tmp_path: Path):
    """INVARIANT 17."""
    options, ours = CPO_CASES[case]
    theirs = trainer("cpo", tmp_path, PAIRS, {"model": policy[0]}, beta=BETA, cpo_alpha=0.0, **options)
    batch = next(iter(theirs.get_train_dataloader()))
    loss, _ = theirs.get_batch_loss_metrics(policy[0], batch)
    policy_logps, lengths = score(policy[1], *concatenated(theirs, batch))
    assert_equal_losses_and_gradients(loss, ours(pairs(policy_logps), pairs(lengths)).mean(), policy)


def test_orpo(policy: Policy, tmp_path: Path):
    """The odds ratio and its gradient; TRL takes the likelihood of prompt and answer, we that of the answer, so that term is left out."""
    theirs = trainer("orpo", tmp_path, PAIRS, {"model": policy[0]}, beta=BETA)
    batch = next(iter(theirs.get_train_dataloader()))
    chosen_logps, rejected_logps, *_ = theirs.concatenated_forward(policy[0], batch)
    odds_losses, *_ = theirs.odds_ratio_loss(chosen_logps, rejected_logps)
    policy_logps, lengths = (pairs(values) for values in score(policy[1], *concatenated(theirs, batch)))
    ours = orpo_loss(policy_logps, lengths, beta=BETA)[0] - chosen_nll(policy_logps, lengths)
    assert_equal_losses_and_gradients(-odds_losses.mean(), ours.mean(), policy)


@pytest.mark.parametrize("loss_type", ["kto", "apo_zero_unpaired"])
def test_answer_losses(loss_type: str, policy: Policy, reference: Policy, tmp_path: Path):
    """INVARIANTS 17 and 20: one batch is one step, so TRL's batch-wise KL is the step's."""
    policy, reference = reference, policy  # this way round the KL estimate is above its clamp
    options = {"beta": BETA, "desirable_weight": 1.0, "undesirable_weight": 1.5, "max_length": None}
    models = {"model": policy[0], "ref_model": reference[0]}
    theirs = trainer("kto", tmp_path, ANSWERS, models, loss_type=loss_type, **options)
    batch = next(iter(theirs.get_train_dataloader()))
    inputs = (batch["input_ids"], batch["completion_mask"], batch["attention_mask"])
    policy_logps, _ = score(policy[1], *inputs)
    with torch.no_grad():
        ref_logps, _ = score(reference[1], *inputs)
    knobs = {"beta": BETA, "desirable_weight": 1.0, "undesirable_weight": 1.5}
    labels = batch["label"].bool()
    if loss_type == "kto":
        mismatched = (batch["KL_input_ids"], batch["KL_completion_mask"], batch["KL_attention_mask"])
        with torch.no_grad():
            kl = (score(policy[1], *mismatched)[0] - score(reference[1], *mismatched)[0]).mean().clamp(min=0)
        assert kl > 0.01
        ours, _ = kto_loss(policy_logps, ref_logps, labels, kl, **knobs)
    else:
        ours, _ = apo_zero_unpaired_loss(policy_logps, ref_logps, labels, **knobs)
    assert_equal_losses_and_gradients(theirs._compute_loss(policy[0], batch, False), ours.mean(), policy)
