"""What every case trains on: rows, model folder, clock."""

import argparse
import math
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
RANK, LR, WARM_UP = 16, 1e-4, 2  # WARM_UP: steps before the clock starts
WORDS = 2048  # of the vocabulary that rows use; ids 0 and 1 are padding and end
SFT_TOKENS, SFT_ROWS = 256, 4  # longest row, rows a step
PREFERENCE_TOKENS, PAIRS = 128, 2  # KTO steps have 2 * PAIRS answers


@dataclass(frozen=True)
class Row:
    prompt: list[int]
    chosen: list[int]  # ends with id 1
    rejected: list[int]


def make_rows(count: int, longest: int, *, lengths: str, seed: int = 0) -> list[Row]:
    """Rows of random words: `mix` draws log-normal lengths, `fixed` fills `longest` with an eighth for the answer."""
    rng = random.Random(f"{seed}/rows")

    def words(n: int) -> list[int]:
        return [rng.randrange(3, WORDS) for _ in range(n)]

    def draw(median: float, spread: float, low: int, high: int) -> int:
        return min(max(int(rng.lognormvariate(math.log(median), spread)), low), high)

    rows = []
    for _ in range(count):
        if lengths == "fixed":
            answers = (longest // 8, longest // 8)
            prompt = longest - longest // 8
        else:
            answers = (draw(longest * 0.04, 0.6, 2, longest // 4), draw(longest * 0.04, 0.6, 2, longest // 4))
            prompt = draw(longest * 0.3, 0.55, 4, longest - max(answers))
        rows.append(Row(words(prompt), [*words(answers[0] - 1), 1], [*words(answers[1] - 1), 1]))
    return rows


def rows_of(stage: str, args: argparse.Namespace, *, packing: bool = False) -> tuple[list[Row], int]:
    """The rows of all steps and how many make a step; enough for that many steps of full bins where a peer packs."""
    per_step, longest = {"sft": (SFT_ROWS, SFT_TOKENS), "dpo": (PAIRS, PREFERENCE_TOKENS), "kto": (2 * PAIRS, PREFERENCE_TOKENS)}[stage]
    return make_rows((WARM_UP + args.steps) * per_step * (4 if packing else 1), longest, lengths=args.lengths), per_step


def tokens_of(stage: str, row: Row) -> int:
    return len(row.prompt) + len(row.chosen) + (len(row.prompt) + len(row.rejected) if stage == "dpo" else 0)


def write_model(folder: Path) -> None:
    """Random weights and a tokenizer of one token a word, so that lengths are exact."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    config = Qwen2Config(
        hidden_size=512,
        intermediate_size=1408,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=2,
        vocab_size=32_000,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=1,
        pad_token_id=0,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    words = {"<pad>": 0, "<eos>": 1, "<unk>": 2} | {f"w{i}": i for i in range(3, WORDS)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>").save_pretrained(folder)


class Clock:
    """Process time at the end of each step, with its real tokens and its loss; the first WARM_UP steps do not count."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.losses: list[float] = []
        self.rss_before = peak_rss()
        self._marks = [time.process_time()]

    def step(self) -> None:
        self._marks.append(time.process_time())

    def result(self, *, extra_cpu_s: float = 0.0) -> dict[str, Any]:
        """extra_cpu_s: work done once for all steps, charged to the timed ones by their share."""
        steps = len(self._marks) - 1
        tokens = sum(self.tokens[WARM_UP:])
        cpu_s = self._marks[-1] - self._marks[WARM_UP] + extra_cpu_s * (steps - WARM_UP) / steps
        return {
            "tokens_per_cpu_s": round(tokens / cpu_s, 1),
            "tokens": tokens,
            "cpu_s": round(cpu_s, 2),
            "steps": steps - WARM_UP,
            "first_loss": round(self.losses[0], 4),
            "last_loss": round(self.losses[-1], 4),
            "peak_rss_mib": round(peak_rss() / 2**20),
            "rss_before_mib": round(self.rss_before / 2**20),
        }


def peak_rss() -> int:
    import torch

    from vgpt2.metrics import peak_memory_bytes

    return peak_memory_bytes(torch.device("cpu")) or 0
