"""Encode functions for workers, which must be importable there; each stands for a stage's `encode`."""

import os
import time


def length(record, tokenizer):
    """The row's tokens, as the smallest example there is; short questions are dropped."""
    ids = tokenizer.encode(record.messages).input_ids
    return "too short" if len(ids) < 16 else (record.id, len(ids))


def name(record, tokenizer):
    return (record.id,)


def refuses_sevens(record, tokenizer):
    if record.id.endswith("7"):
        raise ValueError("sevens are not encoded; take another number")
    return (record.id,)


def dies_at_five(record, tokenizer):
    if record.id == "5":
        os._exit(9)
    return (record.id,)


def hangs_at_five(record, tokenizer):
    if record.id == "5":
        time.sleep(600)
    return (record.id,)


def slow(record, tokenizer):
    time.sleep(0.02)
    return (record.id,)


def breaks(record, tokenizer):
    return record.no_such_field


def starves_at_five(record, tokenizer):
    """Five seconds by the clock, 0.3 of its own CPU time: what a machine that others use leaves to a job."""
    if record.id == "5":
        for _ in range(10):
            time.sleep(0.5)
            burn(0.03)
    return (record.id,)


def runs_for_ever_at_five(record, tokenizer):
    if record.id == "5":
        burn(600)
    return (record.id,)


def burn(cpu_s):
    until = time.process_time() + cpu_s
    while time.process_time() < until:
        pass
