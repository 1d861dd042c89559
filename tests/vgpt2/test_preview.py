from dataclasses import dataclass

import pytest
import tiny_tokenizer

from vgpt2.preview import mark, render
from vgpt2.tokenizer import ChatTokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return ChatTokenizer.load(tiny_tokenizer.chatml(tmp_path_factory.mktemp("tokenizer")), system=None)


def messages(answer="Yes."):
    return [{"role": "user", "content": "Does APTH exist?"}, {"role": "assistant", "content": answer}]


def marked(tokenizer, conversation, *, colour):
    encoded = tokenizer.encode(conversation)
    return mark(encoded.input_ids, encoded.completion_mask, tokenizer, colour=colour)


def test_supervised_tokens_stand_between_marks(tokenizer):
    """INVARIANTS 41, for the eye: the answer and its end token, nothing else."""
    text = "<|im_start|>user\nDoes APTH exist?<|im_end|>\n<|im_start|>assistant\n{}Yes.<|im_end|>{}\n"
    assert marked(tokenizer, messages(), colour=False) == text.format("⟦", "⟧")
    assert marked(tokenizer, messages(), colour=True) == text.format("\x1b[32m⟦", "⟧\x1b[0m")


def test_data_cannot_steer_the_terminal(tokenizer):
    text = marked(tokenizer, messages("\x1b[2Jgone\rnow\x07 tab\tkept"), colour=False)
    assert "⟦\\x1b[2Jgone\\x0dnow\\x07 tab\tkept<|im_end|>⟧" in text


@dataclass
class Answer:
    input_ids: list
    completion_mask: list
    markers: int


@dataclass
class Pair:
    where: str
    answers: tuple


def test_a_pair_shows_both_answers_and_a_dropped_row_its_reason(tokenizer):
    answers = tuple(Answer(e.input_ids, e.completion_mask, e.markers) for e in (tokenizer.encode(messages(t)) for t in ("Yes.", "No.")))
    text = render(Pair("data/dpo.jsonl:3", answers), tokenizer, colour=False)
    lines = text.splitlines()
    assert lines[0].startswith("data/dpo.jsonl:3, 1 of 2: ")
    assert "3 supervised" in lines[0]
    assert "⟦Yes.<|im_end|>⟧" in text
    assert "⟦No.<|im_end|>⟧" in text
    assert render("over-long", tokenizer, colour=False) == "dropped: over-long"
