"""Training data and suites from a database catalogue, and the audit that every set must pass.

python -m vgpt2.datagen sft --catalogue data/catalogues/vista-core --out data/demo/sft.jsonl --size 720 --seed 1
python -m vgpt2.datagen audit data/demo/sft.jsonl --catalogue data/catalogues/vista-core --suite eval/suites/demo.jsonl
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from vgpt2.datagen.commands import audit, mine, mix, sets, suite
from vgpt2.workers import WorkerLost

COMMANDS = (sets, suite, audit, mix, mine)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m vgpt2.datagen", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for command in COMMANDS:
        command.add(commands)
    args = parser.parse_args(arguments)
    try:
        code: int = args.run(args)
    except (ValueError, OSError, WorkerLost) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; files are written whole or not at all", file=sys.stderr)
        return 130
    return code


if __name__ == "__main__":
    sys.exit(main())
