"""Keeps a pool of two workers busy: pooling.py. Says "pid N" for each worker and for itself, then waits."""

import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from vgpt2.interrupts import start_worker


def job(number: int) -> int:
    print("pid", os.getpid(), flush=True)
    time.sleep(600)
    return number


if __name__ == "__main__":
    with ProcessPoolExecutor(2, mp_context=get_context("spawn"), initializer=start_worker) as pool:
        list(pool.map(job, range(2)))
