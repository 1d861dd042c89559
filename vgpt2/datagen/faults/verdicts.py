"""Faults of verdicts: a real name denied, an unreal one taken for real."""

from __future__ import annotations

from vgpt2.datagen.questions.question import Question

REFUSES_REAL, ACCEPTS_FAKE = "refuses_real", "accepts_fake"


def wrong_verdict(question: Question) -> tuple[str, str]:
    """(fault, answer) that denies the real name the question is about, or takes its invented one for real; same form and length."""
    assert question.subject is not None
    is_real = question.subject.is_real
    return (REFUSES_REAL if is_real else ACCEPTS_FAKE), question.subject.verdict(real=not is_real)
