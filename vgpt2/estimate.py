"""The command `python -m vgpt2.estimate`: what each stage of a config would hold in GPU memory, before anything loads."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vgpt2 import __version__
from vgpt2.config import TrainConfig
from vgpt2.configfile import load

if TYPE_CHECKING:
    from vgpt2.model_config import ModelConfig

STAGES = ("sft", "dpo", "kto")
CARD_GIB = 46.5  # what a 48 GB card leaves for tensors, less driver and kernels
SHAPES = Path(__file__).with_name("known_models.json")
EXAMPLES = """examples:
  python -m vgpt2.estimate --config configs/sft.yaml
  python -m vgpt2.estimate --config configs/models/qwen32b-qlora.yaml --cap-gib 44
  python -m vgpt2.estimate --config configs/sft.yaml --stage sft --set lora.rank=256
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 every stage fits, 1 one does not, 2 something to mend."""
    args = parse(argv)
    try:
        columns = [column_of(args, stage) for stage in ([args.stage] if args.stage else STAGES)]
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    from vgpt2.memory import table

    print(table({column.stage: column.cells for column in columns}))
    for column in columns:
        if column.remark:
            print(column.remark)
    return 0 if all(column.fits for column in columns) else 1


@dataclass(frozen=True)
class Column:
    """One stage's plan as text, row by row; no cells for a stage that the config itself refuses."""

    stage: str
    cells: dict[str, str]
    remark: str = ""
    fits: bool = True


def column_of(args: argparse.Namespace, stage: str) -> Column:
    """The plan of one stage under the config; raises ValueError for a config that no stage can have."""
    try:
        cfg = load(TrainConfig, args.config, [*args.overrides, f"stage={stage}"])
    except ValueError as error:
        if args.stage or "stage " not in str(error):
            raise
        return Column(stage, {}, f"{stage}: {error}")
    from vgpt2 import memory  # torch takes seconds to import: a wrong config is answered before

    model = model_config(cfg.model.path)
    room = int((args.cap_gib or card_gib()) * memory.GIB)
    setup = memory.setup_of(model, cfg, compute=4 if cfg.model.dtype == "float32" else 2)
    batch = memory.fullest(cfg, cfg.batch.micro_batch_tokens)
    remark = ""
    try:
        plan = memory.chosen(cfg, setup, batch, room)
    except ValueError as refusal:
        plan, remark = memory.plan(setup, batch, model.num_hidden_layers), f"{stage}: {refusal}"
    return Column(stage, memory.column(cfg, setup, batch, plan, room), remark, fits=not remark)


def model_config(path: str) -> ModelConfig:
    """The config.json of a model folder or of a hub name in the cache; else the shapes of a model known by the folder's name."""
    from vgpt2.hub import folder_of
    from vgpt2.model_config import ModelConfig
    from vgpt2.weights import read_config

    known = json.loads(SHAPES.read_text("utf-8"))
    name = Path(path).name.removesuffix("-Instruct")
    if name in known and not Path(path, "config.json").is_file():
        return ModelConfig.from_hf(known[name], SHAPES.name)
    folder = folder_of(path)
    if not (folder / "config.json").is_file():
        raise ValueError(f"model.path: {folder} holds no config.json; put it there, or name one of {', '.join(known)}")
    return read_config(folder)


def card_gib() -> float:
    """What is free on this machine's card, else what a 48 GB card leaves."""
    import torch

    from vgpt2.step_bytes import GIB

    return torch.cuda.mem_get_info()[0] / GIB if torch.cuda.is_available() else CARD_GIB


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m vgpt2.estimate",
        description="GPU memory of a config's stages, from shapes alone: no weight is read and no card is needed.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, required=True, help="YAML file of a training run")
    parser.add_argument("--stage", choices=STAGES, help="one stage alone; default all three")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE", help="one key, may be repeated")
    parser.add_argument("--cap-gib", type=float, metavar="X", help=f"room for tensors; default this machine's card, without one {CARD_GIB}")
    parser.add_argument("--version", action="version", version=f"vgpt2 {__version__}")
    args = parser.parse_args(argv)
    if args.cap_gib is not None and not args.cap_gib > 0:
        parser.error("--cap-gib must be above 0")
    return args


if __name__ == "__main__":
    sys.exit(main())
