"""Conversations to token ids and the mask of what is supervised, by the model's own tokenizer and chat template.

A conversation is rendered once and tokenised as a whole. The mask comes from verified prefixes: what the model is given at generation
must be, id for id, what stands before the answer in training. No text becomes a control token, whatever it says (control_tokens.py).
"""

import hashlib
import json
import os
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from vgpt2 import chat_template
from vgpt2.control_tokens import STAND_IN, ControlTokens

if TYPE_CHECKING:
    from tokenizers import Encoding
    from transformers import PreTrainedTokenizerBase


# what transformers raises on damaged files, beside the library's own
LOADING_ERRORS = (OSError, ValueError, LookupError, TypeError, AttributeError, ImportError, RecursionError)


class _Said(TypedDict):
    role: str  # system, user or assistant
    content: str


class Message(_Said, total=False):
    """One turn; an assistant turn is supervised unless `train` is False."""

    train: bool


class RewrittenTurn(ValueError):
    """The template writes an earlier turn differently once the conversation goes on."""


@dataclass(frozen=True)
class Encoded:
    """A conversation of T tokens."""

    input_ids: list[int]  # (T,)
    completion_mask: list[bool]  # (T,): assistant turns, each with its end token
    markers: int  # control strings found in the contents and encoded as text


class ChatTokenizer:
    """The tokenizer and template of a model folder, with the one system prompt of the config."""

    def __init__(self, folder: Path, tokenizer: "PreTrainedTokenizerBase", *, system: str | None) -> None:
        """Takes a loaded tokenizer whose template was tried out; see `load`."""
        self.folder = folder
        self.system = system
        self.template = _template(tokenizer, folder)
        self.vocab_size = len(tokenizer)
        self._tokenizer = tokenizer
        self._variables = _variables(tokenizer)
        added = tokenizer.added_tokens_decoder.items()
        self._controls = ControlTokens({token.content: token_id for token_id, token in added if token.special})
        with _foreign_errors(folder):
            self._shielded = self._controls.shield(tokenizer.backend_tokenizer)
        self.merges_system = not self._renders_system()

    @classmethod
    def load(cls, folder: str | Path, *, system: str | None) -> "ChatTokenizer":
        """The tokenizer of a local model folder; nothing is downloaded and no code of the folder is run.

        Raises ValueError when the folder has no usable tokenizer or template, and for a template that misbehaves in its trial.
        """
        folder = Path(folder)
        _refuse_code(folder)
        # read when huggingface_hub is first imported
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
        from transformers import AutoTokenizer

        with _foreign_errors(folder, *LOADING_ERRORS):
            tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
        chat_template.try_out(_template(tokenizer, folder), _variables(tokenizer))
        return cls(folder, tokenizer, system=system)

    def __reduce__(self) -> tuple[Any, ...]:
        """Workers load the folder again, which is cheaper than sending the tokenizer; the trial is not repeated."""
        return _load_again, (str(self.folder), self.system, chat_template.fingerprint(self.template))

    def encode(self, messages: Sequence[Message]) -> Encoded:
        """The conversation's ids; supervised is each assistant turn (unless train is False) from its first token to its end token.

        The end token is the first control token after the answer (<|im_end|>, </s>), not the line break behind it.
        Raises ValueError when the template rewrites an answer, or when tokens merge across the place where an answer starts, so that
        the ids at generation would not be those of training; RewrittenTurn when later turns change an earlier one.
        """
        turns, markers = self._conversation(messages)
        text = self._render(turns)
        encoding = self._tokenise(text)
        mask = [False] * len(encoding.ids)
        for position, turn in enumerate(turns):
            if turn["role"] == "assistant" and turn.get("train", True):
                upto = text if position == len(turns) - 1 else self._render(turns[: position + 1])
                start, stop = self._span(turns[: position + 1], upto, text, encoding)
                mask[start:stop] = [True] * (stop - start)
        return Encoded(encoding.ids, mask, markers)

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """What the model is given to answer `messages`: the prefix that `encode` verifies."""
        turns, _ = self._conversation(messages)
        return list(self._tokenise(self._render(turns, generation_prompt=True)).ids)

    def decode(self, ids: Sequence[int], *, controls: bool = False) -> str:
        """The text of `ids`; control tokens are left out unless asked for."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=not controls, clean_up_tokenization_spaces=False))

    def token_bytes(self) -> list[bytes]:
        """What each token writes into an answer, in UTF-8 bytes that may be part of a character; control tokens write nothing.

        Raises ValueError for a tokenizer that is neither a byte-level BPE nor one over metaspaces.
        """
        decoder = json.loads(self._tokenizer.backend_tokenizer.to_str())["decoder"] or {}
        kinds = {part["type"] for part in decoder.get("decoders", [decoder]) if "type" in part}
        if "ByteLevel" not in kinds and not kinds & {"Metaspace", "ByteFallback", "Replace"}:
            raise ValueError(f"{self.folder}: its tokens are no bytes (decoder {sorted(kinds)}); a BPE of bytes or SentencePiece is needed")
        added = self._tokenizer.added_tokens_decoder
        spell = _byte_level_bytes if "ByteLevel" in kinds else _metaspace_bytes
        return [
            (b"" if added[n].special else added[n].content.encode()) if n in added else spell(str(self._tokenizer.convert_ids_to_tokens(n)))
            for n in range(self.vocab_size)
        ]

    @cached_property
    def eos_ids(self) -> tuple[int, ...]:
        """What ends an answer: the template's end token, then the tokenizer's EOS where that is another."""
        sample = self.encode([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}])
        end = sample.input_ids[max(position for position, supervised in enumerate(sample.completion_mask) if supervised)]
        return tuple(dict.fromkeys(token for token in (end, self._tokenizer.eos_token_id) if token is not None))

    @cached_property
    def rewrites_turns(self) -> bool:
        """Whether a turn looks different once the conversation goes on (Qwen3 drops its thoughts).

        Then every supervised answer needs a row that ends with it: dataset.split_turns.
        """
        question: Message = {"role": "user", "content": "a"}
        answer: Message = {"role": "assistant", "content": "b"}
        try:
            self.encode([question, answer, question, answer])
        except RewrittenTurn:
            return True
        return False

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over what decides the ids of a conversation: template, its variables, system prompt, tokenizer.json."""
        parts = json.dumps([self.template, self._variables, self.system], sort_keys=True)
        return hashlib.sha256(parts.encode() + (self.folder / "tokenizer.json").read_bytes()).hexdigest()

    def _conversation(self, messages: Sequence[Message]) -> tuple[list[Message], int]:
        """The messages as the template gets them, with control strings hidden, and how many of those there were.

        A template without a place for a system message gets it at the head of the first question, after which an empty line follows.
        """
        turns = [message.copy() for message in messages]
        if self.system is not None and not any(turn["role"] == "system" for turn in turns):
            turns.insert(0, {"role": "system", "content": self.system})
        if self.merges_system and [turn["role"] for turn in turns[:2]] == ["system", "user"]:
            system = turns.pop(0)
            turns[0]["content"] = f"{system['content']}\n\n{turns[0]['content']}"
        markers = 0
        for turn in turns:
            turn["content"], found = self._controls.hide(turn["content"])
            markers += found
        return turns, markers

    def _render(self, turns: Sequence[Message], *, generation_prompt: bool = False) -> str:
        said = [{"role": turn["role"], "content": turn["content"]} for turn in turns]
        return self._controls.stand_in(chat_template.render(self.template, said, self._variables, generation_prompt=generation_prompt))

    def _tokenise(self, text: str) -> "Encoding":
        with _foreign_errors(self.folder):
            return self._shielded.encode(text, add_special_tokens=False)

    def _span(self, turns: Sequence[Message], upto: str, text: str, encoding: "Encoding") -> tuple[int, int]:
        """Token range of the last turn's answer, verified against the prompt that leads to it.

        `upto` is the text of `turns`, `text` and `encoding` are those of the whole conversation.
        """
        prompt = self._render(turns[:-1], generation_prompt=True)
        if not upto.startswith(prompt):
            raise ValueError(f"the prompt is not what stands before the answer: {self._parting(prompt, upto)}; mend the chat template")
        end = _answer_end(upto, len(prompt), self._controls.show(turns[-1]["content"]))
        if text[:end] != upto[:end]:
            cure = "split the conversation, or set train: false on earlier answers"
            raise RewrittenTurn(f"the chat template rewrites an earlier turn: {self._parting(text, upto)}; {cure}")
        prompt_ids = self._tokenise(prompt).ids
        if encoding.ids[: len(prompt_ids)] != prompt_ids:
            at = _first_difference(encoding.ids, prompt_ids)
            there, here = (repr(self.decode(ids[at : at + 2], controls=True))[:24] for ids in (encoding.ids, prompt_ids))
            cure = "strip the answer's leading white space"
            raise ValueError(f"tokens merge across the start of the answer: token {at} is {there}, at generation {here}; {cure}")
        return len(prompt_ids), bisect_left(encoding.offsets, end, key=lambda span: span[0])

    def _parting(self, a: str, b: str) -> str:
        a, b = self._controls.plain(a), self._controls.plain(b)
        at = _first_difference(a, b)
        return f"{a[at : at + 12]!r} against {b[at : at + 12]!r} at character {at}"

    def _renders_system(self) -> bool:
        """Whether the template has a place for a system message; Mistral's and Gemma's first ones raise or leave it out."""
        canary: list[Message] = [{"role": "system", "content": "q7#"}, {"role": "user", "content": "a"}]
        try:
            return "q7#" in self._render(canary, generation_prompt=True)
        except ValueError:
            return False


def _answer_end(text: str, start: int, answer: str) -> int:
    """Where the control token after `answer` ends, in `text` from `start`; templates may trim the answer and write before it."""
    for control in STAND_IN.finditer(text, start):
        if text[start : control.start()].rstrip().endswith(answer.strip()):
            return control.end()
        start = control.end()
    raise ValueError("the chat template rewrites the answer or writes no control token after it; use one that ends each answer")


def _byte_level_bytes(token: str) -> bytes:
    """A byte-level BPE writes each byte as a printable character: itself, or one from U+0100 on in the order of the others."""
    return b"".join(bytes((_BYTE_OF[char],)) if char in _BYTE_OF else char.encode() for char in token)


def _metaspace_bytes(token: str) -> bytes:
    """SentencePiece writes a blank as U+2581, and a byte that no token holds as <0xNN>."""
    if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
        return bytes((int(token[3:5], 16),))
    return token.replace("\u2581", " ").encode()


_PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_BYTE_OF = {chr(byte): byte for byte in _PRINTABLE}
_BYTE_OF |= {chr(0x100 + n): byte for n, byte in enumerate(byte for byte in range(256) if byte not in _PRINTABLE)}


def _first_difference(a: Sequence[object], b: Sequence[object]) -> int:
    return next((at for at, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))


def _variables(tokenizer: "PreTrainedTokenizerBase") -> dict[str, str]:
    """The names that templates expect beside the messages: bos_token, eos_token and their like."""
    return {name: str(token) for name, token in tokenizer.special_tokens_map.items() if not isinstance(token, list)}


def _template(tokenizer: "PreTrainedTokenizerBase", folder: Path) -> str:
    template = tokenizer.chat_template
    if isinstance(template, dict):
        template = template.get("default")
    if not isinstance(template, str) or not template:
        raise ValueError(f"{folder}: its tokenizer has no chat template; use an instruct model, or add chat_template.jinja")
    return template


def _refuse_code(folder: Path) -> None:
    """Raises ValueError unless `folder` holds a tokenizer that needs none of the folder's own Python."""
    if not (folder / "tokenizer.json").is_file():
        raise ValueError(f"{folder}: has no tokenizer.json; give the folder of a Hugging Face model")
    for path in (folder / "tokenizer_config.json", folder / "config.json"):
        if not path.exists():
            continue
        try:
            settings = json.loads(path.read_text("utf-8"))
        except (ValueError, RecursionError):
            raise ValueError(f"{path}: is not JSON in UTF-8; copy the file again") from None
        if not isinstance(settings, dict):
            raise ValueError(f"{path}: is a {type(settings).__name__}, not a JSON object; copy the file again")
        if "auto_map" in settings:
            raise ValueError(f"{path}: 'auto_map' asks to run Python from the model folder, which is never done; remove it")


@contextmanager
def _foreign_errors(folder: Path, *kinds: type[Exception]) -> Iterator[None]:
    """Turns errors of `kinds`, and what the tokenizers library raises (a bare Exception, a panic of its Rust), into a ValueError."""
    try:
        yield
    except BaseException as error:
        # pyo3's PanicException derives from BaseException and cannot be imported
        if not isinstance(error, kinds) and type(error) is not Exception and type(error).__name__ != "PanicException":
            raise
        complaint = " ".join(str(error).split())[:60]
        raise ValueError(f"{folder}: its tokenizer cannot be used ({type(error).__name__}: {complaint}); copy its files again") from None


def _load_again(folder: str, system: str | None, tried: str) -> ChatTokenizer:
    chat_template.trust(tried)
    return ChatTokenizer.load(folder, system=system)
