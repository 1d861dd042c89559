"""A set made by categories in seeded chunks, in any number of processes, with the same rows always.

A chunk's chats depend on its seed text alone, so that a worker may make any of them; what two chunks have in common is left out here.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from hashlib import blake2b
from math import ceil, floor
from random import Random
from typing import Any, Protocol

from vgpt2.datagen.audit.balance import ABSENT, LEAST_OF_KIND, LEAST_OF_TEMPLATE
from vgpt2.datagen.language.phrasings import asks_existence, takes_no_name
from vgpt2.datagen.language.similarity import masked
from vgpt2.datagen.names.real import Names
from vgpt2.datagen.names.statements import Reading
from vgpt2.datagen.questions.question import Chat
from vgpt2.datagen.questions.recipes import evened
from vgpt2.datagen.questions.world import Maker, World
from vgpt2.datagen.sets.records import Row, sft_rows
from vgpt2.workers import Crew, in_order

CHUNK = 2000  # questions a maker is asked for at once: in equal parts, numbered in the seed text
ROUNDS = 3  # a category that is short of its quota is asked again
LEAST_GAIN = 0.05  # of what was asked for: below, its material is at its end
CREW = Crew("generating", "once more, or without workers: --workers 0", stall_s=600.0)


class Progress(Protocol):
    """Makes a bar, such as tqdm's, for some work on `total` questions."""

    def __call__(self, what: str, total: int) -> AbstractContextManager[Any]: ...


@dataclass(frozen=True)
class Planned:
    """Questions of one category: wanted, made and found distinct, and written."""

    category: str
    quota: int
    achievable: int
    actual: int


@dataclass(frozen=True)
class Product:
    """The rows of a set in their final order, and what became of each quota."""

    rows: Sequence[bytes]  # JSON without ids, so that a large set fits in memory
    plan: tuple[Planned, ...]

    def numbered(self, stage: str) -> Iterator[Row]:
        """The rows with their ids."""
        for index, row in enumerate(self.rows):
            yield {"id": f"{stage}-{index:06d}", **json.loads(row)}


@dataclass(frozen=True, slots=True)
class Made:
    """One chat as a row of JSON without its id, and of each of its questions what the set's balance depends on."""

    row: bytes
    keys: tuple[bytes, ...]  # two questions with one key are alike but for their values
    templates: tuple[str, ...]
    verdicts: tuple[tuple[str, bool] | None, ...]  # where it asks whether a name is real: the template, and whether it is
    is_absent: tuple[bool, ...]  # what is asked for is not there


@dataclass(frozen=True, slots=True)
class Job:
    category: str
    count: int
    seed: str


@dataclass(frozen=True)
class Workshop:
    """What every process needs to work on any job; `makers` is a function of a module, since most makers cannot be sent to a process."""

    world: World
    makers: Callable[[], Mapping[str, Maker]]


def produce(workshop: Workshop, quotas: Mapping[str, int], *, seed: str, workers: int = 0, progress: Progress | None = None) -> Product:
    """Rows of every category up to its quota of questions, in an order fixed by `seed`, no two questions alike but for their values."""
    kept: dict[str, list[Made]] = {category: [] for category in quotas}
    seen: set[bytes] = set()
    ended: set[str] = set()
    with progress("questions", sum(quotas.values())) if progress else nullcontext() as bar:
        for number in range(ROUNDS):
            short = {c: quota - _questions(kept[c]) for c, quota in quotas.items() if c not in ended and _questions(kept[c]) < quota}
            jobs = [job for category, count in short.items() for job in _jobs(category, count, f"{seed}/{category}/{number}")]
            for job, made in zip(jobs, _made(workshop, jobs, workers)):
                fresh = [chat for chat in made if _is_fresh(chat, seen)]
                kept[job.category] += fresh
                if bar is not None:
                    bar.update(_questions(fresh))
            ended |= {c for c, count in short.items() if quotas[c] - count + LEAST_GAIN * count > _questions(kept[c])}
    return _product(kept, quotas, seed)


def make(workshop: Workshop, job: Job) -> list[Made]:
    """One job's chats, with as many real as unreal names for each sentence that asks whether a name is real."""
    chats = evened(workshop.makers()[job.category](workshop.world, job.count, job.seed))
    return [_as_made(chat, row, workshop.world.names) for chat, row in zip(chats, sft_rows(chats))]


def plan_table(plan: Sequence[Planned]) -> str:
    """Quota against achievable and actual, category by category."""
    width = max((len(line.category) for line in plan), default=8) + 2
    whole = Planned("all", sum(line.quota for line in plan), sum(line.achievable for line in plan), sum(line.actual for line in plan))
    lines = [f"{'category':{width}}{'quota':>9}{'achievable':>12}{'actual':>9}{'of quota':>10}"]
    for line in (*plan, whole):
        share = f"{line.actual / line.quota:.1%}" if line.quota else "-"
        lines.append(f"{line.category:{width}}{line.quota:9,}{line.achievable:12,}{line.actual:9,}{share:>10}")
    return "\n".join(lines)


def _made(workshop: Workshop, jobs: Sequence[Job], workers: int) -> Iterator[list[Made]]:
    with closing(in_order(make, workshop, jobs, workers=min(workers, len(jobs)), crew=CREW, place=lambda job: job.seed)) as made:
        yield from made


def _jobs(category: str, count: int, seed: str) -> list[Job]:
    parts = -(-count // CHUNK)
    return [Job(category, count * (n + 1) // parts - count * n // parts, f"{seed}/{n}") for n in range(parts)]


def _as_made(chat: Chat, row: Row, names: Names) -> Made:
    without_id = {name: value for name, value in row.items() if name != "id"}
    keys = tuple(blake2b(masked(q.prompt).encode(), digest_size=12).digest() for q in chat)
    verdicts = tuple((q.template, q.subject.is_real) if q.subject and asks_existence(q.kind) else None for q in chat)
    is_absent = tuple(Reading(q.answer, q.ask, names, frozenset()).denies for q in chat)
    return Made(json.dumps(without_id, ensure_ascii=False).encode(), keys, tuple(q.template for q in chat), verdicts, is_absent)


def _is_fresh(chat: Made, seen: set[bytes]) -> bool:
    """Whether none of the chat's questions was asked before; they are remembered then."""
    if len(set(chat.keys)) < len(chat.keys) or not seen.isdisjoint(chat.keys):
        return False
    seen.update(chat.keys)
    return True


def _product(kept: Mapping[str, Sequence[Made]], quotas: Mapping[str, int], seed: str) -> Product:
    within = {category: _up_to(chats, quotas[category]) for category, chats in kept.items()}
    even = _without_surplus([(category, chat) for category, chats in within.items() for chat in chats])
    balanced = _less_absent(_with_enough_absent(even))
    plan = tuple(
        Planned(category, quota, _questions(kept[category]), _questions([chat for name, chat in balanced if name == category]))
        for category, quota in quotas.items()
    )
    rows = [chat.row for _, chat in balanced]
    Random(f"{seed}/order").shuffle(rows)
    return Product(rows, plan)


def _up_to(chats: Sequence[Made], quota: int) -> list[Made]:
    count, found = 0, []
    for chat in chats:
        if count >= quota:
            break
        found.append(chat)
        count += len(chat.keys)
    return found


def _without_surplus(chats: Sequence[tuple[str, Made]]) -> list[tuple[str, Made]]:
    """The chats without those last ones of which the sentences that ask whether a name is real have more real or unreal names."""
    counts = Counter(verdict for _, chat in chats for verdict in chat.verdicts if verdict)
    surplus = Counter({(template, real): n - counts[template, not real] for (template, real), n in counts.items()})
    kept = []
    for category, chat in reversed(chats):
        verdicts = Counter(verdict for verdict in chat.verdicts if verdict)
        if verdicts and len(chat.verdicts) == sum(verdicts.values()) and all(surplus[v] >= n for v, n in verdicts.items()):
            surplus -= verdicts
        else:
            kept.append((category, chat))
    return kept[::-1]


def _with_enough_absent(chats: Sequence[tuple[str, Made]]) -> list[tuple[str, Made]]:
    """The chats without those last ones of a sentence that is just often enough to be judged and asks for nothing absent.

    Where material ends early, the few questions of a sentence that are left may all be about real names.
    """
    asked, absent = _counted(chats)
    kept = []
    for category, chat in reversed(chats):
        is_short = any(not absent[template] and LEAST_OF_TEMPLATE <= asked[template] < 2 * LEAST_OF_TEMPLATE for template in chat.templates)
        if is_short and not any(chat.is_absent) and not any(map(_is_exempt, chat.templates)):
            asked.subtract(chat.templates)
        else:
            kept.append((category, chat))
    return kept[::-1]


def _less_absent(chats: Sequence[tuple[str, Made]]) -> list[tuple[str, Made]]:
    """The chats without those last ones that make a kind of question ask for more absent things than the audit allows.

    A small catalogue runs out of real names before it runs out of unreal ones.
    """
    asked, absent = _counted(chats)

    def has_too_many(group: str) -> bool:
        least = LEAST_OF_TEMPLATE if "-" in group else LEAST_OF_KIND
        return asked[group] >= least and absent[group] > ceil(ABSENT[1] * asked[group])

    def can_spare(group: str) -> bool:
        return absent[group] - 1 >= floor(ABSENT[0] * (asked[group] - 1))

    kept = []
    for category, chat in reversed(chats):
        groups = [group for template in chat.templates for group in _groups(template)]
        is_free = all(chat.is_absent) and not any(map(_is_exempt, chat.templates))
        if is_free and any(map(has_too_many, groups)) and all(map(can_spare, groups)):
            asked.subtract(groups)
            absent.subtract(groups)
        else:
            kept.append((category, chat))
    return kept[::-1]


def _counted(chats: Sequence[tuple[str, Made]]) -> tuple[Counter[str], Counter[str]]:
    """Of each sentence and kind: questions, and those for something absent."""
    asked, absent = Counter[str](), Counter[str]()
    for _, chat in chats:
        for template, is_absent in zip(chat.templates, chat.is_absent):
            if not _is_exempt(template):
                asked.update(_groups(template))
                absent.update(_groups(template) if is_absent else ())
    return asked, absent


def _is_exempt(template: str) -> bool:
    return asks_existence(template) or takes_no_name(template)


def _groups(template: str) -> tuple[str, str]:
    """What the audit judges a template with: itself and its kind."""
    return template, template.rpartition("-")[0]


def _questions(chats: Sequence[Made]) -> int:
    return sum(len(chat.keys) for chat in chats)
