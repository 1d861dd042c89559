"""What the audit keeps of rows once their texts are read: facts of each case, counts of a part of a file.

A part is made by one worker from some rows and holds no text but the first words of what failed, so that any file fits in memory.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from vgpt2.datagen.language.similarity import Shingles
from vgpt2.datagen.names.statements import Unreal
from vgpt2.layouts import Kind


@dataclass(frozen=True, slots=True)
class Failure:
    """One case that breaks a rule; of the first ones the answer's text is kept."""

    where: str
    says: str
    names: tuple[Unreal, ...] = ()
    excerpt: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.says}" if self.where else self.says


@dataclass(frozen=True, slots=True)
class Facts:
    """A case without its texts, as the rules about a whole set need it."""

    where: str
    stage: Kind
    category: str | None
    template: str | None
    fault: str | None
    prompt: bytes  # digests of normalised texts
    good: tuple[bytes, ...]
    bad: tuple[bytes, ...]
    good_characters: tuple[int, ...]
    bad_characters: tuple[int, ...]
    good_denies: bool  # whether the answer says that a name, or what was asked for, is not there
    bad_denies: bool
    good_refuses: bool  # whether it says so of a name
    bad_refuses: bool
    shingles: Shingles[int]

    @property
    def asks_absent(self) -> bool:
        """Whether what is asked for is not there: a right answer denies it, a wrong one fails to."""
        return self.good_denies if self.good else not self.bad_denies


@dataclass
class Part:
    """Some rows of a file, or all of them."""

    rows: int = 0
    cases: list[Facts] = field(default_factory=list)
    checked: Counter[str] = field(default_factory=Counter)  # cases that a rule looked at
    failures: dict[str, list[Failure]] = field(default_factory=lambda: defaultdict(list))
    tokens: list[int] = field(default_factory=list)  # of every sequence that would be trained
    answer_tokens: Counter[str] = field(default_factory=Counter)  # 'all' and 'sql'
    sql: Counter[str] = field(default_factory=Counter)  # rewarded answers: 'answers', 'with SQL', 'reads', 'hinted'
    columns: Counter[tuple[str, str]] = field(default_factory=Counter)  # rewarded answers that use (object, column)
    objects: Counter[str] = field(default_factory=Counter)
    dropped: list[tuple[str, str]] = field(default_factory=list)  # (reason, where): what the trainer would leave out
    mistakes: list[str] = field(default_factory=list)  # with which it would refuse the file

    def add(self, other: Part) -> None:
        self.rows += other.rows
        self.cases += other.cases
        self.checked.update(other.checked)
        self.answer_tokens.update(other.answer_tokens)
        self.sql.update(other.sql)
        self.columns.update(other.columns)
        self.objects.update(other.objects)
        for rule, failures in other.failures.items():
            self.failures[rule] += failures
        self.tokens += other.tokens
        self.dropped += other.dropped
        self.mistakes += other.mistakes
