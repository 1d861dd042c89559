"""Task metrics inside training: a few questions answered by the model as it stands, judged as eval judges them.

    values = probe(model, tokenizer, spread(read_items(path), 24), catalogue, max_new_tokens=96, token_budget=8192)
    # {'task/right': .75, 'task/resolves': .9, 'task/false_rejection': .1, 'task/false_acceptance': .2, 'task/collapse': 0.0}

Greedy and in evaluation mode: random state, module modes and gradients stay as they were (INVARIANT 45).
"""

from collections.abc import Sequence

from vgpt2.generate import generate
from vgpt2.judging import Item, existence, judge
from vgpt2.model import CausalLM
from vgpt2.sql.catalogue import Catalogue
from vgpt2.tokenizer import ChatTokenizer


def probe(
    model: CausalLM,
    tokenizer: ChatTokenizer,
    items: Sequence[Item],
    catalogue: Catalogue,
    *,
    max_new_tokens: int,
    token_budget: int,
) -> dict[str, float]:
    """Shares in [0, 1] over `items`; a metric whose kind of question does not occur is left out."""
    prompts = [tokenizer.prompt(item.messages) for item in items]
    answers = generate(model, prompts, max_new_tokens=max_new_tokens, eos_ids=tokenizer.eos_ids, token_budget=token_budget)
    return task_metrics(items, [tokenizer.decode(answer) for answer in answers], catalogue)


def task_metrics(items: Sequence[Item], answers: Sequence[str], catalogue: Catalogue) -> dict[str, float]:
    """The metrics of answers to `items`: right answers, SQL that resolves, real names denied, unreal names affirmed, collapsed answers."""
    verdicts = [judge(item, answer, catalogue) for item, answer in zip(items, answers, strict=True)]
    asked = [(item.expect, answer) for item, answer in zip(items, answers) if item.kind == "exists"]
    claimed = [(expect["exists"], existence(answer, expect["name"])) for expect, answer in asked]
    shares = {
        "task/right": [verdict.right for verdict in verdicts],
        "task/resolves": [verdict.passed["resolves"] for verdict in verdicts if "resolves" in verdict.passed],
        "task/false_rejection": [said == "refuses" for real, said in claimed if real],
        "task/false_acceptance": [said == "accepts" for real, said in claimed if not real],
        "task/collapse": [verdict.collapse is not None for verdict in verdicts],
    }
    return {name: sum(hits) / len(hits) for name, hits in shares.items() if hits}


def spread(items: Sequence[Item], n: int) -> list[Item]:
    """At most `n` of the items, by turns from each group, real and unreal names apart."""
    strata: dict[tuple[str, str, object], list[Item]] = {}
    for item in items:
        strata.setdefault((item.group, item.kind, item.expect.get("exists")), []).append(item)
    longest = max((len(stratum) for stratum in strata.values()), default=0)
    by_turns = [stratum[turn] for turn in range(longest) for stratum in strata.values() if turn < len(stratum)]
    return by_turns[:n]
