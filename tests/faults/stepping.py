"""A small run that signals are sent to: stepping.py WORK [RUN_DIR] [--ignore-interrupts]. WORK is what it does between safe points.

Says "ready" when a signal may come, "step N" after each step, "stopped N" and "ignored N" at the end. What prints, and what
ignores interrupts, ends after 40 steps by itself; everything else lasts ten minutes.
"""

import contextlib
import hashlib
import os
import sys
import time
from pathlib import Path

from faults.saving import save_step

from vgpt2.interrupts import Interrupted, Interrupts, exit_code

STEPS, STEP_S = 40, 0.05
TEN_MINUTES_S = 600


def work(kind: str, step: int) -> None:
    if kind == "save":
        save_step(Path(sys.argv[2]), step + 10)
    elif kind == "endless" and step == 1:  # one native call that lets other threads run and is over long after the test
        say("busy")
        hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
    elif kind == "native" and step == 1:  # seconds in one call that lets other threads run, like a backward pass
        began = time.process_time()
        hashlib.pbkdf2_hmac("sha256", b"", b"", 100_000)
        iterations = int(100_000 * 1.5 / (time.process_time() - began))
        say("busy")
        hashlib.pbkdf2_hmac("sha256", b"", b"", iterations)
    elif kind == "greedy" and step == 1:  # seconds in one call that lets nobody run, like an import of a big library
        say("busy")
        sum(range(60_000_000))
    else:
        time.sleep(STEP_S)


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())  # past every buffer


def main() -> int:
    kind, ignore = sys.argv[1], "--ignore-interrupts" in sys.argv
    done = 0
    with Interrupts(ignore=ignore, say=lambda line: print(line, file=sys.stderr, flush=True)) as interrupts:
        try:
            with interrupts.at_once():
                if kind == "load":
                    say("ready")
                    time.sleep(TEN_MINUTES_S)
            print("kept in a buffer", end=" ")
            say("ready")
            for step in range(STEPS if ignore or kind == "print" else int(TEN_MINUTES_S / STEP_S)):
                interrupts.check()
                work(kind, step)
                done += 1
                if kind == "print":
                    print("step", done, flush=True)
            interrupts.check()
        except Interrupted as interrupted:
            say(f"stopped {done}")
            return exit_code(interrupted.number)
        finally:
            say_if_somebody_listens(f"ignored {interrupts.ignored}")
    return 0


def say_if_somebody_listens(line: str) -> None:
    with contextlib.suppress(OSError):
        say(line)


if __name__ == "__main__":
    code = main()
    if "--marker" in sys.argv:
        Path(sys.argv[-1]).write_text(str(code), encoding="utf-8")
    sys.exit(code)
