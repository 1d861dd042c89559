"""One answer behind its prompt, as the preference stages encode it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from vgpt2.packing import label_count
from vgpt2.tokenizer import ChatTokenizer


@dataclass(frozen=True)
class Answer:
    """Prompt and answer as ids and the mask of the answer's tokens, both (T,); the first `prompt_tokens` ids are the prompt."""

    input_ids: np.ndarray  # (T,) int32
    completion_mask: np.ndarray  # (T,) bool
    prompt_tokens: int
    markers: int  # control strings of the content, encoded as text


def encode_answer(prompt: list[dict[str, Any]], answer: str | None, tokenizer: ChatTokenizer, cutoff_tokens: int) -> Answer | str:
    """The last turn of `prompt` + `answer` supervised, or the reason why the row cannot be used."""
    context = [{**message, "train": False} if message["role"] == "assistant" else message for message in prompt]
    encoded = tokenizer.encode([*context, {"role": "assistant", "content": answer}])
    if len(encoded.input_ids) > cutoff_tokens:
        return "over-long"
    mask = np.asarray(encoded.completion_mask, bool)
    if not label_count(mask):
        return "no supervised token"
    return Answer(np.asarray(encoded.input_ids, np.int32), mask, int(mask.argmax()), encoded.markers)
