"""Takes a run's lock at the moment that stdin names, says how that went, keeps it until stdin closes: locking.py RUN_DIR [--steal]."""

import sys
import time
from pathlib import Path

from vgpt2.runlock import RunLock, RunLockError


def main() -> int:
    run_dir, steal = Path(sys.argv[1]), "--steal" in sys.argv
    print("ready", flush=True)
    together = float(sys.stdin.readline())
    while time.time() < together:
        pass
    remarks: list[str] = []
    try:
        with RunLock(run_dir, steal=steal, say=remarks.append) as lock:
            print("won", *remarks, flush=True)
            sys.stdin.read()
            return 0 if lock.is_held() else 3
    except RunLockError as refused:
        print(f"refused {refused}", flush=True)
        return 2


if __name__ == "__main__":
    sys.exit(main())
