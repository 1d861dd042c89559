"""The command `python -m vgpt2.export`: base model + adapter -> a plain Hugging Face folder or a GGUF that loads anywhere.

    python -m vgpt2.export --checkpoint checkpoints/sft/best --merge exports/sft --gguf exports/sft.gguf
"""

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vgpt2 import __version__

if TYPE_CHECKING:
    from torch import Tensor

    from vgpt2.model import CausalLM
    from vgpt2.tokenizer import Message

EXAMPLES = """examples:
  python -m vgpt2.export --checkpoint checkpoints/sft/best --merge exports/sft
  python -m vgpt2.export --checkpoint some/peft-adapter --base models/qwen2.5-7b --merge exports/qwen
  python -m vgpt2.export --checkpoint exports/qwen --gguf exports/qwen.gguf --gguf-type Q8_0
"""
DTYPES = ("bfloat16", "float16", "float32")
PROBE: "list[Message]" = [{"role": "user", "content": "Which columns does APTH have? Write a query that lists open invoices."}]


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 done, 2 something to mend, 130 interrupted with nothing left behind."""
    args = parse(argv)
    try:
        if args.merge:
            export(args.checkpoint, args.merge, base=args.base, dtype=args.dtype)
        if args.gguf:
            export_gguf(args.merge or args.checkpoint, args.gguf, kind=args.gguf_type)
    except (ValueError, OSError) as error:
        if args.debug:
            raise
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; what was not finished is not there, the same command starts again", file=sys.stderr)
        return 130
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m vgpt2.export",
        description="Merge an adapter into its base model and write a Hugging Face folder, a GGUF for llama.cpp and Ollama, or both.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="DIR", help="run, run/best, step folder or PEFT adapter")
    parser.add_argument("--merge", type=Path, metavar="OUT", help="folder to write; must not exist or be empty")
    parser.add_argument("--base", type=Path, metavar="DIR", help="the base model's folder; default the one that the adapter names")
    parser.add_argument("--dtype", choices=DTYPES, help="of the merged weights; default the base's")
    parser.add_argument("--gguf", type=Path, metavar="FILE", help="file to write, from the merged folder or from a whole model")
    parser.add_argument("--gguf-type", choices=("F16", "BF16", "Q8_0"), default="F16", help="of its matrices (default F16)")
    parser.add_argument("--debug", action="store_true", help="tracebacks for mistakes too")
    parser.add_argument("--version", action="version", version=f"vgpt2 {__version__}")
    args = parser.parse_args(argv)
    if not (args.merge or args.gguf):
        parser.error("nothing to write; give --merge OUT, --gguf FILE or both")
    return args


def export(source: Path, out: Path, *, base: Path | None, dtype: str | None) -> None:
    """Merges the adapter in `source` into its base model and writes `out` whole or not at all.

    Each weight is summed in fp32 and rounded once. The largest change of a logit, adapter attached to what it was trained on against
    merged, is printed beside the largest change that the adapter itself makes. An adapter of a base in nf4 goes into the folder's own
    weights, never into dequantised ones. Raises ValueError for what the user can mend.
    """
    import torch  # seconds of imports: --help and mistakes on the command line are answered before
    from safetensors import SafetensorError

    from vgpt2 import adapter_files, checkpoint, loading, lora, weights
    from vgpt2.tokenizer import ChatTokenizer

    folder = checkpoint.resolve(source)
    base = base or base_of(folder)
    name, quantization = dtype or stored_dtype(base), loading.quantization_of(folder)
    torch_dtype = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}[name]
    require_room(base, out)
    with weights.staged_folder(out) as staged:
        ids = ChatTokenizer.load(base, system=None).prompt(PROBE)
        print(f"merging {folder} into {base} in {name}", flush=True)
        model = weights.load_model(base, dtype=torch_dtype, device="cpu", quantization=quantization).eval()
        bare = probe(model, ids)
        adapter_files.load_adapter(model, folder)
        adapted = probe(model, ids)
        if quantization:
            print(f"trained on {quantization}; merging into the original weights in {name}, not into dequantised ones", flush=True)
            del model  # never two at once
            model = weights.load_model(base, dtype=torch_dtype, device="cpu").eval()
            adapter_files.load_adapter(model, folder)
        lora.merge_lora(model)
        weights.check_finite(model)
        merged = probe(model, ids)
        try:
            weights.save_model(model, staged, tokenizer_from=base)
        except SafetensorError as error:  # how that library says that the disk is full
            raise OSError(f"{out}: not written, {str(error)[:120]}") from None
    effect, change = (adapted - bare).abs().max(), (merged - adapted).abs().max()
    print(f"the adapter moves a logit of the probe by up to {effect:.4g}; merging moves it by up to {change:.2g}")
    print(f"{out}: {sum(tensor.numel() for tensor in model.parameters()):,} parameters in {name}, base {base}")


def export_gguf(folder: Path, out: Path, *, kind: str) -> None:
    """Writes the whole model in `folder` as one GGUF, and says how far its weights are from the folder's, read back."""
    from vgpt2 import checkpoint, gguf_export

    folder = checkpoint.resolve(folder)
    if not (folder / "config.json").is_file():
        raise ValueError(f"{folder}: holds no whole model; merge the adapter in the same call with --merge OUT")
    require_room(folder, out)
    print(f"writing {out} in {kind}", flush=True)
    largest = gguf_export.write_gguf(folder, out, kind=kind)
    print(f"{out}: {out.stat().st_size / 1e6:,.1f} MB; read back, a weight differs from {folder} by at most {largest:.2g}")


def probe(model: "CausalLM", ids: list[int]) -> "Tensor":
    """Logits (T, V) of one prompt, fp32."""
    import torch

    from vgpt2.packing import pack

    with torch.no_grad():
        return model.logits(pack([(ids, [False] * len(ids))]))


def base_of(folder: Path) -> Path:
    """The base model that the adapter in `folder` names, if it is here."""
    from vgpt2.adapter_files import CONFIG_FILE, read_adapter_config

    if not (folder / CONFIG_FILE).is_file() and (folder / "config.json").is_file():
        raise ValueError(f"{folder}: holds a whole model and no adapter; there is nothing to merge, load it as it is")
    read_adapter_config(folder)  # that it is JSON of an adapter
    name = json.loads((folder / CONFIG_FILE).read_text("utf-8")).get("base_model_name_or_path")
    if not isinstance(name, str) or not Path(name).is_dir():
        raise ValueError(f"{folder / CONFIG_FILE}: its base model '{str(name)[:80]}' is not a folder here; give it with --base DIR")
    return Path(name)


def stored_dtype(base: Path) -> str:
    """The dtype that a model folder's config.json states; float32 where it states none that can be written."""
    from vgpt2.weights import read_config

    read_config(base)
    config = json.loads((base / "config.json").read_text("utf-8"))
    stated = config.get("dtype", config.get("torch_dtype"))
    return stated if stated in DTYPES else "float32"


def require_room(base: Path, out: Path) -> None:
    """Raises ValueError when the disk of `out` has no room for another copy of the base model."""
    needed = sum(path.stat().st_size for path in base.glob("*.safetensors"))
    there = next(parent for parent in out.absolute().parents if parent.is_dir())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise ValueError(f"{out}: needs {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free; free some, or write to another disk")


if __name__ == "__main__":
    sys.exit(main())
