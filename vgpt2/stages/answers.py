"""One answer behind its prompt, as the preference stages encode it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vgpt2.packing import label_count
from vgpt2.tokencache import Row
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

    @property
    def tokens(self) -> int:
        return len(self.input_ids)


@dataclass(frozen=True)
class Mismatched:
    """The prompt of `own` with the answer of `other`: an Answer that is put together when it is read, so that it takes no memory."""

    own: Answer
    other: Answer

    @property
    def input_ids(self) -> np.ndarray:
        return np.concatenate((self.own.input_ids[: self.own.prompt_tokens], self.other.input_ids[self.other.prompt_tokens :]))

    @property
    def completion_mask(self) -> np.ndarray:
        return np.concatenate((self.own.completion_mask[: self.own.prompt_tokens], self.other.completion_mask[self.other.prompt_tokens :]))

    @property
    def sequence(self) -> tuple[np.ndarray, np.ndarray]:
        return self.input_ids, self.completion_mask

    @property
    def tokens(self) -> int:
        return self.own.prompt_tokens + self.other.tokens - self.other.prompt_tokens


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


def restored_answers(row: Row) -> list[Answer]:
    """The answers that `encode_answer` made, from what the token cache kept of them."""
    return [Answer(ids, mask, int(mask.argmax()), markers) for (ids, mask), markers in zip(row.sequences, row.markers)]
