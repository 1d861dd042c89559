"""Task metrics inside training: shares by hand, and a model that trains on as if nobody had asked."""

import pytest
import tiny_judge
import torch
from tiny_judge import accepter, gold, refuser, silent
from torch.testing import assert_close

from vgpt2.config import LoRAConfig
from vgpt2.lora import add_lora
from vgpt2.packing import pack
from vgpt2.probe import Asked, probe, spread, task_metrics
from vgpt2.tiny import write_tiny
from vgpt2.tokenizer import ChatTokenizer
from vgpt2.weights import load_model


@pytest.fixture
def items(tmp_path):
    return tiny_judge.write_suite(tmp_path / "suite.jsonl")


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        # write_suite asks for 21 real names, 21 unreal ones, a column and 3 queries
        (gold, {"right": 1, "resolves": 1, "false_rejection": 0, "false_acceptance": 0, "collapse": 0}),
        (accepter, {"right": 21 / 46, "resolves": 0, "false_rejection": 0, "false_acceptance": 1, "collapse": 0}),
        (refuser, {"right": 21 / 46, "resolves": 0, "false_rejection": 1, "false_acceptance": 0, "collapse": 0}),
        (silent, {"right": 0, "resolves": 0, "false_rejection": 0, "false_acceptance": 0, "collapse": 1}),
    ],
)
def test_shares_by_hand(items, model, expected):
    found = task_metrics(items, [model(item) for item in items], tiny_judge.catalogue())
    assert found == pytest.approx({f"task/{name}": share for name, share in expected.items()})


def test_a_metric_without_a_question_is_left_out(items):
    queries = [item for item in items if item.kind == "sql"]
    assert task_metrics(queries, [gold(item) for item in queries], tiny_judge.catalogue()).keys() == {
        "task/right",
        "task/resolves",
        "task/collapse",
    }
    assert task_metrics([], [], tiny_judge.catalogue()) == {}


def test_a_few_questions_are_taken_by_turns_from_every_group(items):
    few = spread(items, 9)
    kinds = [(item.group, item.expect.get("exists")) for item in few]
    assert kinds[:8] == [
        ("exists_list", True),
        ("exists_list", False),
        ("exists_memory", True),
        ("exists_memory", False),
        ("columns", True),
        ("columns", False),
        ("columns", None),
        ("sql_schema", None),
    ]
    assert len(few) == 9
    assert len({item.id for item in spread(items, 1000)}) == len(items)


def asked(items):
    return Asked(tuple(spread(items, 6)), tiny_judge.catalogue())


def test_the_probe_leaves_random_state_mode_and_gradients_unchanged(items, tmp_path):
    """INVARIANT 45: the next training step is the one without a probe, bit for bit, with dropout on."""
    folder = tmp_path / "model"
    folder.mkdir()
    write_tiny(folder)
    tokenizer = ChatTokenizer.load(folder, system=None)
    batch = pack([(list(range(5, 25)), [True] * 20)])

    def gradients(*, probed: bool) -> list[torch.Tensor]:
        model = load_model(folder, dtype=torch.float32, device="cpu").train()
        add_lora(model, LoRAConfig(rank=2, dropout=0.5), seed=0)
        torch.manual_seed(3)
        model(batch).sum().backward()
        if probed:
            values = probe(model, tokenizer, asked(items), max_new_tokens=4, check=lambda: None)
            assert values.keys() >= {"task/right", "task/collapse"}
            assert all(module.training for module in model.modules())
        model(batch).sum().backward()
        return [parameter.grad for parameter in model.parameters() if parameter.requires_grad]

    for probed, plain in zip(gradients(probed=True), gradients(probed=False), strict=True):
        assert_close(probed, plain, atol=0, rtol=0)


def test_answers_of_numbers_that_are_not_finite_are_a_collapse(items, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    write_tiny(folder)
    model, tokenizer = load_model(folder, dtype=torch.float32, device="cpu"), ChatTokenizer.load(folder, system=None)
    healthy = probe(model, tokenizer, asked(items), max_new_tokens=6, check=lambda: None)
    with torch.no_grad():
        model.model.norm.weight[0] = torch.nan
    values = probe(model, tokenizer, asked(items), max_new_tokens=6, check=lambda: None)
    assert healthy["task/collapse"] < values["task/collapse"] == 1
    assert values["task/right"] == 0


def test_the_probe_answers_alike_every_time(items, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    write_tiny(folder)
    model, tokenizer = load_model(folder, dtype=torch.float32, device="cpu"), ChatTokenizer.load(folder, system=None)
    first, second = (probe(model, tokenizer, asked(items), max_new_tokens=6, check=lambda: None) for _ in range(2))
    assert first == second
    assert tuple(first) == asked(items).metrics
