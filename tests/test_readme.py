"""The README is true: its paths exist, its tree is the tree, its worked change applies and trains."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
FOLDERS = ("vgpt2", "kernels", "eval", "benchmarks", "configs")


def block(language: str, containing: str = "") -> str:
    blocks = re.findall(rf"```{language}\n(.*?)```", README, re.S)
    (found,) = [text for text in blocks if containing in text]
    return found


def apply(diff: str, root: Path) -> list[str]:
    """Replaces, file by file, what each hunk's unchanged and '-' lines say by its unchanged and '+' lines; the changed lines."""
    changed = []
    for part in re.split(r"^--- a/.*\n", diff, flags=re.M)[1:]:
        name, _, body = part.partition("\n")
        path = root / name.removeprefix("+++ b/")
        text = path.read_text("utf-8")
        for hunk in re.split(r"^@@.*\n", body, flags=re.M)[1:]:
            lines = hunk.splitlines()
            old = "\n".join(line[1:] for line in lines if line[:1] in " -")
            new = "\n".join(line[1:] for line in lines if line[:1] in " +")
            assert text.count(old) == 1, f"{path.name}: the README's diff no longer fits:\n{old}"
            text = text.replace(old, new)
            changed += [line for line in lines if line[:1] in "+-"]
        path.write_text(text, "utf-8")
    return changed


def test_the_worked_change_of_the_loss_applies_and_trains(tmp_path):
    """DPO with an offset: at step 0 policy equals reference, so the loss is -log sigmoid(-1) = log(1 + e) = 1.3133."""
    for folder in ("vgpt2", "kernels", "configs", "data"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "demo"))
    assert len(apply(block("diff"), tmp_path)) <= 10
    # -P and a cleared path: the changed copy must be what is imported
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}

    def call(*argv: str) -> None:
        done = subprocess.run([sys.executable, "-m", *argv], cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    call("vgpt2.embedded", "--tiny", "checkpoints/models/tiny")
    keys = ["--set", "dpo.offset=1", "--set", "max_steps=1", "--set", "log_every=1"]
    call("vgpt2.train", "--stage", "dpo", "--config", "configs/tiny/dpo.yaml", "--run", "offset", *keys)
    first = json.loads((tmp_path / "checkpoints" / "offset" / "metrics.jsonl").read_text("utf-8").splitlines()[0])
    assert first["loss"] == pytest.approx(1.3133, abs=1e-3)


def test_every_link_leads_to_a_file():
    for path in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / path).exists(), path


def test_the_file_tree_names_every_file_and_no_other():
    """Files down to a package's own; what lies in a package of a package is named by its folder."""
    named = set(re.findall(r"^([\w/.-]+(?:\.py|\.yaml|/))\s{2,}\S", block("text", "vgpt2/run.py"), re.M))
    there = set()
    for path in (path for folder in FOLDERS for pattern in ("*.py", "*.yaml") for path in (ROOT / folder).rglob(pattern)):
        place = path.relative_to(ROOT)
        deepest = {"vgpt2": 3, "configs": 3}.get(place.parts[0], 2)
        if path.stat().st_size:
            there.add(place.as_posix() if len(place.parts) <= deepest else "/".join(place.parts[:deepest]) + "/")
    assert named == there | {"data/", "checkpoints/", "tests/"}


def test_the_two_commands_stand_in_the_makefile():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in ("demo", "test"):
        assert f"make {target}" in README
        assert re.search(rf"^{target}:", makefile, re.M)


def test_every_command_named_in_a_code_block_exists():
    for module in set(re.findall(r"python -m ((?:vgpt2|eval|kernels)[\w.]*)", README)):
        path = ROOT / Path(*module.split("."))
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module
