"""The command `python -m eval.compare`: reports side by side, each model against the one before it.

python -m eval.compare eval/reports/base eval/reports/sft --out eval/reports/demo
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from vgpt2 import __version__

EXAMPLES = """examples:
  python -m eval.compare eval/reports/base eval/reports/sft --out eval/reports/demo
  python -m eval.compare eval/reports/base eval/reports/sft eval/reports/dpo --out eval/reports/demo --gate
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 done, 2 something to mend, 3 the last model is worse than its parent and --gate was given."""
    args = parse(argv)
    try:
        return run(args)
    except (ValueError, OSError) as error:
        if args.debug:
            raise
        print(error, file=sys.stderr)
        return 2


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m eval.compare",
        description="Compare judged models question by question, from the first ancestor to the last descendant.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("reports", type=Path, nargs="+", metavar="DIR", help="folders that eval.run wrote, parents first")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for table.txt, comparison.json and report.html")
    parser.add_argument("--gate", action="store_true", help="exit with 3 when the last model is worse than the one before in a wanted row")
    parser.add_argument("--json", action="store_true", help="print comparison.json in place of the table")
    parser.add_argument("--debug", action="store_true", help="tracebacks for mistakes too")
    parser.add_argument("--version", action="version", version=f"vgpt2 {__version__}")
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> int:
    from eval import decision, report
    from eval.paired import compare
    from vgpt2 import atomic

    reports = [report.read(folder) for folder in args.reports]
    comparison = compare([*report.base_beside(args.reports[0], reports[0]), *reports])
    content = {
        "format": report.FORMAT,
        "names": comparison.names,
        "lines": [asdict(line) for line in comparison.lines],
        "lost": comparison.lost,
        "gained": comparison.gained,
        "attribution": asdict(comparison.attribution) if comparison.attribution else None,
        "worse": [line.title for line in comparison.gate],
        "sources": comparison.sources,
    }
    rule = decision.decision(list(comparison.answers[-1].values()))
    text, table = json.dumps(content, indent=1, ensure_ascii=False) + "\n", f"{report.table(comparison)}\n{rule}\n"
    args.out.mkdir(parents=True, exist_ok=True)
    atomic.write_text(args.out / "comparison.json", text)
    atomic.write_text(args.out / "table.txt", table)
    report.write_pages(comparison, args.out)
    print(text if args.json else table, end="")
    if comparison.gate:
        rows = ", ".join(line.title for line in comparison.gate[:3])
        print(f"{comparison.names[-1]} is worse than {comparison.names[-2]} on {len(comparison.gate)} wanted rows: {rows}", file=sys.stderr)
    return 3 if args.gate and comparison.gate else 0


if __name__ == "__main__":
    sys.exit(main())
