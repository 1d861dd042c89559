"""What a row of a data file may look like, and the one typed record that it becomes.

The layouts are those of data/README.md: alpaca, chat and sharegpt, preference pairs, labelled answers. Nothing here opens a file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from vgpt2.tokenizer import Message

Kind = Literal["sft", "dpo", "kto"]

# the names under which a field may come, the usual one first
COLUMNS: dict[str, tuple[str, ...]] = {
    "messages": ("messages", "conversations"),
    "prompt": ("prompt",),
    "instruction": ("instruction",),
    "input": ("input",),
    "system": ("system",),
    "history": ("history",),
    "output": ("output", "completion"),
    "chosen": ("chosen",),
    "rejected": ("rejected",),
    "label": ("label", "kto_tag"),
}
ROLES = {"system": "system", "user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant", "model": "assistant"}
META = ("category", "source", "template", "objects", "fault")
LABELS: dict[object, bool] = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class Record:
    """One row to learn from: a prompt and its answer or answers, by kind."""

    kind: Kind
    prompt: list[Message]  # everything before the answer, earlier answers among it
    id: str
    where: str  # file:line
    completion: str | None = None  # sft and kto
    chosen: str | None = None  # dpo
    rejected: str | None = None
    label: bool | None = None  # kto: whether the completion is desirable
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def messages(self) -> list[Message]:
        """The conversation up to the completion."""
        assert self.completion is not None
        return [*self.prompt, {"role": "assistant", "content": self.completion}]


@dataclass(frozen=True)
class Layout:
    """The names that a set uses where they are not the usual ones; a registry entry makes one."""

    columns: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: COLUMNS)
    role_tags: tuple[str, ...] = ("role", "from")
    content_tags: tuple[str, ...] = ("content", "value")
    roles: Mapping[str, str] = field(default_factory=lambda: ROLES)


class FieldError(ValueError):
    """A mistake in one field of a row; the caller knows the file and the line."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.field = name


class Unusable(Exception):
    """The row is well-formed and cannot be learned from; str() is the reason that is counted."""


def records(row: Mapping[str, Any], kind: Kind, layout: Layout, where: str) -> list[Record]:
    """The records of one row: one, but for a pair read as two labelled answers.

    Raises FieldError when a field is missing or of another form than data/README.md says, Unusable when there is nothing to learn.
    """
    fields = _Fields(row, layout)
    name = str(row["id"]) if row.get("id") is not None else where
    about: dict[str, Any] = {"where": where, "meta": {key: row[key] for key in META if key in row}}
    has_pair = fields.has("chosen") and fields.has("rejected")
    if kind == "dpo" or (kind == "kto" and has_pair):
        prompt, chosen, rejected = fields.pair()
        if chosen.strip() == rejected.strip():
            raise Unusable("chosen equals rejected")
        prompt, chosen, rejected = _asked(prompt), _filled(chosen), _filled(rejected)
        if kind == "dpo":
            return [Record("dpo", prompt, name, chosen=chosen, rejected=rejected, **about)]
        return [
            Record("kto", prompt, f"{name}/chosen", completion=chosen, label=True, **about),
            Record("kto", prompt, f"{name}/rejected", completion=rejected, label=False, **about),
        ]
    if has_pair:
        raise FieldError("chosen", "this is a preference pair; train it with --stage dpo or kto, or give SFT rows")
    label = fields.label() if kind == "kto" else None
    context, answer = fields.answered()
    return [Record(kind, _asked(context), name, completion=_filled(answer), label=label, **about)]


class _Fields:
    """One row's fields by their usual names, checked as they are asked for."""

    def __init__(self, row: Mapping[str, Any], layout: Layout) -> None:
        self._layout = layout
        self._found: dict[str, tuple[str, Any]] = {}  # usual name -> (name in the row, value); null is absence
        for usual, names in layout.columns.items():
            present = [name for name in names if row.get(name) is not None]
            if present:
                self._found[usual] = (present[0], row[present[0]])

    def has(self, usual: str) -> bool:
        return usual in self._found

    def label(self) -> bool:
        name, value = self._get("label")
        known = value if isinstance(value, bool) else LABELS.get(str(value).strip().lower())
        if known is None:
            raise FieldError(name, f"is {str(value)[:20]!r}; a label is true or false, 1 or 0")
        return known

    def answered(self) -> tuple[list[Message], str]:
        """The messages before the last supervised answer, and that answer."""
        if self.has("messages"):
            turns = self._turns("messages")
            last = max((n for n, turn in enumerate(turns) if turn["role"] == "assistant" and turn.get("train", True)), default=None)
            if last is None:
                raise Unusable("no supervised token")
            return turns[:last], turns[last]["content"]  # nothing is learned from what follows
        return self._answer(self.prompt(), "output")

    def pair(self) -> tuple[list[Message], str, str]:
        """The prompt and its two answers; without a prompt of its own, the pair's conversations begin with it."""
        whole = isinstance(self._get("chosen")[1], list) and not any(map(self.has, ("messages", "prompt", "instruction")))
        prompt = [] if whole else self.prompt()
        before_chosen, chosen = self._answer(prompt, "chosen")
        before_rejected, rejected = self._answer(prompt, "rejected")
        if before_chosen != before_rejected:
            raise FieldError(self._get("rejected")[0], "does not begin with the same messages as 'chosen'; both must answer one prompt")
        return before_chosen, chosen, rejected

    def prompt(self) -> list[Message]:
        """System message, history and question."""
        if self.has("messages"):
            return self._turns("messages")
        if self.has("prompt") and isinstance(self._get("prompt")[1], list):
            return self._turns("prompt")
        if not self.has("prompt") and not self.has("instruction"):
            raise FieldError("prompt", "is missing; a row needs 'messages', 'prompt' or 'instruction', see data/README.md")
        question = self._text("prompt" if self.has("prompt") else "instruction")
        extra = self._text("input") if self.has("input") else ""
        turn: Message = {"role": "user", "content": f"{question}\n{extra}" if extra and question else question or extra}
        return [*self._system(), *self._history(), turn]

    def _answer(self, prompt: list[Message], usual: str) -> tuple[list[Message], str]:
        """An answer given as text, as one message, or as messages that may begin with the prompt; with the messages before it."""
        name, value = self._get(usual)
        if isinstance(value, str):
            answer, before = _text(value, name), []
        else:
            turns = [self._turn(turn, name) for turn in (value if isinstance(value, list) else [value])]
            if not turns or turns[-1]["role"] != "assistant":
                raise FieldError(name, "does not end with an assistant message; give the answer as text or as such a message")
            answer, before = turns[-1]["content"], turns[:-1]
        if before and prompt and before != prompt:
            raise FieldError(name, "begins with other messages than the row's prompt; give the answer alone")
        return before or prompt, answer

    def _system(self) -> list[Message]:
        return [{"role": "system", "content": text}] if self.has("system") and (text := self._text("system")) else []

    def _history(self) -> list[Message]:
        """Earlier rounds, as pairs of question and answer."""
        if not self.has("history"):
            return []
        name, rounds = self._get("history")
        turns: list[Message] = []
        for entry in rounds if isinstance(rounds, list) else [rounds]:
            if not isinstance(entry, list) or len(entry) != 2:
                raise FieldError(name, "is not a list of [question, answer] pairs")
            turns += [{"role": "user", "content": _text(entry[0], name)}, {"role": "assistant", "content": _text(entry[1], name)}]
        return turns

    def _turns(self, usual: str) -> list[Message]:
        name, value = self._get(usual)
        if not isinstance(value, list) or not value:
            raise FieldError(name, "is not a list of messages")
        turns = [self._turn(turn, name) for turn in value]
        return turns if turns[0]["role"] == "system" else self._system() + turns

    def _turn(self, turn: object, name: str) -> Message:
        if not isinstance(turn, dict):
            raise FieldError(
                name, f"holds a {type(turn).__name__} where a message belongs; a message is an object with a role and a content"
            )
        role = next((turn[tag] for tag in self._layout.role_tags if turn.get(tag) is not None), None)
        content = next((turn[tag] for tag in self._layout.content_tags if turn.get(tag) is not None), None)
        known = self._layout.roles.get(str(role).lower())
        if known is None:
            allowed = ", ".join(self._layout.roles)
            raise FieldError(name, f"holds a message with the role {str(role)[:20]!r}; roles are {allowed}")
        message: Message = {"role": known, "content": _text(content, name)}
        train = turn.get("train")
        if train is not None:
            if not isinstance(train, bool):
                raise FieldError(name, f"holds 'train': {str(train)[:20]!r}; it is true or false")
            message["train"] = train
        return message

    def _text(self, usual: str) -> str:
        name, value = self._get(usual)
        return _text(value, name)

    def _get(self, usual: str) -> tuple[str, Any]:
        if usual not in self._found:
            names = " or ".join(f"'{name}'" for name in self._layout.columns.get(usual, (usual,)))
            raise FieldError(usual, f"is missing; a row needs {names}, see data/README.md")
        return self._found[usual]


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise FieldError(name, f"is a {type(value).__name__}; it must be text")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise FieldError(name, f"holds half a surrogate pair at character {error.start}; mend the escape \\ud...") from None
    return value


def _filled(answer: str) -> str:
    if not answer.strip():
        raise Unusable("empty answer")
    return answer


def _asked(prompt: list[Message]) -> list[Message]:
    """The prompt, if questions begin and end it and every turn says something; an empty system message is no message."""
    turns = [turn for turn in prompt if turn["role"] != "system" or turn["content"].strip()]
    roles = [turn["role"] for turn in turns if turn["role"] != "system"]
    if not roles or any(not turn["content"].strip() for turn in turns):
        raise Unusable("empty prompt")
    if roles[0] != "user" or turns[-1]["role"] != "user":
        raise Unusable("answer without a question")
    return turns
