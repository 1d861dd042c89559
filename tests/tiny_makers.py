"""Makers of questions that need no catalogue: counters, one with an end, one that repeats itself, one that asks whether names are real."""

import os
import signal
from random import Random

from vgpt2.datagen.questions.question import Question, Subject


def question(ask, answer="It is.", template="facts-t01", subject=None, kind="facts"):
    return Question(kind, template, "", ask, answer, ("APTH",), {}, subject=subject, category=kind)


def numbered(world, count, seed):
    rng = Random(seed)
    return [[question(f"What is {word(rng)} {word(rng)} {word(rng)}?")] for _ in range(count)]


def ending(world, count, seed):
    """Thirty questions and no more, whoever asks."""
    return [[question(f"Which is the {word(Random(n))} one?", kind="few")] for n in range(min(count, 30))]


def listed(count, absent):
    """A maker of so many questions on one sentence, the first of them for something absent; no more, whoever asks."""
    no = "There is no APTX; use APTH. APTX does not exist."
    return lambda *_: [[question(f"What is {word(Random(n))}?", no if n < absent else "It is.")] for n in range(count)]


def repeating(world, count, seed):
    return [[question("Always the same?", kind="same")] for _ in range(count)]


def existence(world, count, seed):
    """Two real names to one unreal one, so that there is something to even out."""
    rng = Random(seed)
    subjects = [Subject(word(rng), n % 3 > 0, "APTH") for n in range(count)]
    return [[question(f"Does {s.name} exist?", s.verdict(real=s.is_real), "exists_memory-t01", s, "exists_memory")] for s in subjects]


def dying(world, count, seed):
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))


def word(rng):
    return "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=7)).upper()


def makers():
    return {"facts": numbered, "few": ending, "same": repeating, "exists_memory": existence, "dying": dying}
