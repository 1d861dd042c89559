"""One answer behind its prompt, as the preference stages encode it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vgpt2.packing import label_count
from vgpt2.tokenizer import ChatTokenizer, Message


@dataclass(frozen=True)
class Answer:
    """Prompt and answer as ids and the mask of the answer's tokens, both (T,); the first `prompt_tokens` ids are the prompt."""

    input_ids: np.ndarray  # (T,) int32
    completion_mask: np.ndarray  # (T,) bool
    prompt_tokens: int
    markers: int  # control strings of the content, encoded as text

    @property
    def sequence(self) -> tuple[np.ndarray, np.ndarray]:
        """Ids and mask, as `pack` takes them."""
        return self.input_ids, self.completion_mask


def encode_answer(prompt: Sequence[Message], answer: str | None, tokenizer: ChatTokenizer, cutoff_tokens: int) -> Answer | str:
    """The last turn of `prompt` + `answer` supervised, or the reason why the row cannot be used."""
    assert answer is not None  # dataset.read has filled it in
    context: list[Message] = [{**turn, "train": False} if turn["role"] == "assistant" else turn for turn in prompt]
    encoded = tokenizer.encode([*context, {"role": "assistant", "content": answer}])
    if len(encoded.input_ids) > cutoff_tokens:
        return "over-long"
    mask = np.asarray(encoded.completion_mask, bool)
    if not label_count(mask):
        return "no supervised token"
    return Answer(np.asarray(encoded.input_ids, np.int32), mask, int(mask.argmax()), encoded.markers)
