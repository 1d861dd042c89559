"""A run that is all checkpoint: saves, points and rotates a step of three small files. As a command: saving.py RUN_DIR STEP."""

import sys
from pathlib import Path

from vgpt2 import checkpoint

KEEP = 2


def write(step: int):
    def files(folder: Path) -> None:
        (folder / "adapter_model.safetensors").write_bytes(bytes([step % 256]) * 5000)
        (folder / "optimizer.safetensors").write_bytes(bytes([step % 256, 1]) * 3000)
        (folder / "state.json").write_text(f'{{"step": {step}}}\n', encoding="utf-8")

    return files


def save_step(run_dir: Path, step: int) -> None:
    """What a training loop does at a step worth keeping: step 1 is the best."""
    folder = checkpoint.save(run_dir, step, write(step), meta={"step": step})
    checkpoint.point(run_dir, "latest", folder)
    if step == 1:
        checkpoint.point(run_dir, "best", folder)
    checkpoint.rotate(run_dir, KEEP)


if __name__ == "__main__":
    try:
        save_step(Path(sys.argv[1]), int(sys.argv[2]))
    except checkpoint.SaveFailed as failure:
        sys.exit(f"survived: {failure}")
