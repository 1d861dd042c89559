"""The command `python -m vgpt2.train`: reads the config, refuses what is wrong with it, hands it to vgpt2/run.py."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from vgpt2 import __version__, llamafactory, preflight
from vgpt2.config import TrainConfig
from vgpt2.configfile import ConfigError, keys, load
from vgpt2.encoding import WorkerLost
from vgpt2.hub import folder_of

STAGES = ("sft", "dpo", "kto")
EXAMPLES = """examples:
  python -m vgpt2.train --stage sft
  python -m vgpt2.train --stage sft --run trial --set optim.lr=1e-3 --set epochs=2
  python -m vgpt2.train --stage sft --run trial --resume
  python -m vgpt2.train --from-llamafactory theirs.yaml --config configs/mine.yaml
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 done, 1 a worker was killed, 2 something to mend, 130 or 143 interrupted and resumable."""
    args = parse(argv)
    if args.keys:
        for name, kind, default, description in keys(TrainConfig):
            print(f"{name:30} {default:12} {description} [{kind}]")
        return 0
    try:
        if args.from_llamafactory:
            print(llamafactory.convert(args.from_llamafactory, args.config))
            stage = load(TrainConfig, args.config).stage
            print(f"{args.config}: written; train by it with: python -m vgpt2.train --stage {stage} --config {args.config}")
            return 0
        cfg = config_of(args)
        if errors := preflight.mistakes(cfg, resume=args.resume, preview=args.preview is not None):
            raise ConfigError(errors)
        # torch takes seconds to import: every mistake above is answered before
        from vgpt2 import run

        if args.preview is not None:
            return run.preview(cfg, rows=args.preview)
        return run.run(
            cfg,
            resume=args.resume,
            steal_lock=args.steal_lock,
            ignore_interrupts=args.ignore_interrupts,
            cap_gib=args.cap_gib,
            profile=args.profile,
        )
    except (ValueError, OSError) as error:
        if args.debug:
            raise
        print(sentence(error), file=sys.stderr)
        return 2
    except WorkerLost as lost:
        if args.debug:
            raise
        print(lost, file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # before the run or after it: in between it is a request, see interrupts.py
        print("interrupted; nothing was begun or lost", file=sys.stderr)
        return 130


def sentence(error: ValueError | OSError) -> str:
    """The mistake in our words; the system's own errors name their file first."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror.lower()}"
    return str(error)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m vgpt2.train",
        description="Train one stage into checkpoints/RUN; Ctrl+C saves, --resume goes on.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--stage", choices=STAGES, help="which objective (required unless --resume)")
    parser.add_argument("--config", type=Path, help="YAML file; default configs/STAGE.yaml")
    parser.add_argument("--from-llamafactory", type=Path, metavar="FILE", help="turn a LLaMA-Factory YAML into a new --config, and stop")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE", help="one key, may be repeated")
    parser.add_argument("--run", help="name of the run and of its folder; default the config's, else the stage")
    parser.add_argument("--resume", action="store_true", help="go on from the newest good checkpoint of --run")
    parser.add_argument("--preview", type=int, metavar="N", help="show N rows with their supervised tokens and stop; no model is loaded")
    parser.add_argument("--keys", action="store_true", help="list every config key with its default and stop")
    parser.add_argument("--ignore-interrupts", action="store_true", help="count stray Ctrl+C instead of stopping; SIGTERM still stops")
    parser.add_argument("--cap-gib", type=float, metavar="X", help="GPU memory for tensors; default what is free on the card")
    parser.add_argument("--profile", type=int, metavar="N", help="trace N steps into the run folder and show where their time goes")
    parser.add_argument("--steal-lock", action="store_true", help="take over a run folder whose lock another machine holds")
    parser.add_argument("--debug", action="store_true", help="tracebacks for mistakes too")
    parser.add_argument("--version", action="version", version=f"vgpt2 {__version__}")
    args = parser.parse_args(argv)
    if args.profile is not None and args.profile < 1:
        parser.error("--profile must be 1 or more")
    if args.cap_gib is not None and not args.cap_gib > 0:
        parser.error("--cap-gib must be above 0")
    if args.from_llamafactory:
        if args.config is None:
            parser.error("--from-llamafactory writes a config; name it with --config FILE")
        return args
    if args.stage is None and not (args.resume and args.run) and not args.keys:
        parser.error("--stage is missing; choose sft, dpo or kto")
    return args


def config_of(args: argparse.Namespace) -> TrainConfig:
    """The config of the named file, or of the run to resume, with --stage, --run and --set on top."""
    overrides = list(args.overrides)
    if args.stage:
        overrides.append(f"stage={args.stage}")
    if args.run:
        overrides.append(f"run={json.dumps(args.run)}")
    path = args.config or Path("configs") / f"{args.stage}.yaml"
    if args.resume and args.config is None:
        output = next((text.partition("=")[2] for text in args.overrides if text.startswith("output=")), "checkpoints")
        path = Path(output) / (args.run or args.stage) / "config.yaml"
        if not path.is_file():
            raise ConfigError([f"{path}: no such file; there is no run '{args.run or args.stage}' to resume, start it without --resume"])
    return located(load(TrainConfig, path, overrides))


def located(cfg: TrainConfig) -> TrainConfig:
    """The config with the folder that a hub name in model.path means; a name of no folder is left to preflight, beside other mistakes."""
    try:
        folder = folder_of(cfg.model.path)
    except ValueError:
        return cfg
    if folder == Path(cfg.model.path):
        return cfg
    return cfg.model_copy(update={"model": cfg.model.model_copy(update={"path": folder.as_posix()})})


if __name__ == "__main__":
    sys.exit(main())
