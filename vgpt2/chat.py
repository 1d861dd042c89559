"""The command `python -m vgpt2.chat`: a conversation with a model in the terminal, its answer shown as it is made.

    python -m vgpt2.chat --checkpoint checkpoints/sft/best
"""

import argparse
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vgpt2 import __version__

if TYPE_CHECKING:
    from vgpt2.loading import Loaded
    from vgpt2.tokenizer import Message

EXAMPLES = """examples:
  python -m vgpt2.chat --checkpoint checkpoints/sft/best
  python -m vgpt2.chat --checkpoint checkpoints/sft/best "Does APTH exist?"

In the conversation: /new forgets it, Ctrl+C stops an answer, Ctrl+D ends.
"""
# A terminal obeys these: a model must not move the cursor, set the title or turn the text round
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 done, 2 something to mend, 130 interrupted outside an answer."""
    args = parse(argv)
    try:
        return chat(args)
    except (ValueError, OSError) as error:
        if args.debug:
            raise
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m vgpt2.chat",
        description="Talk to a checkpoint or a model; answers on stdout, all else on stderr.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--checkpoint", type=Path, metavar="DIR", help="run, RUN/best, step folder or adapter folder")
    source.add_argument("--model", type=Path, metavar="DIR", help="Hugging Face model folder")
    parser.add_argument("--adapter", type=Path, metavar="DIR", help="adapter to put on --model")
    parser.add_argument("--system", metavar="TEXT", help="system prompt; default that of the run, '' for none")
    parser.add_argument("--temperature", type=float, default=0.0, help="0 takes the likeliest token (default)")
    parser.add_argument("--top-p", type=float, default=1.0, metavar="P", help="draw from the likeliest tokens that reach P")
    parser.add_argument("--top-k", type=int, metavar="K", help="draw from the K likeliest tokens")
    parser.add_argument("--seed", type=int, default=0, help="of the drawing")
    parser.add_argument("--max-new-tokens", type=int, default=512, metavar="N", help="longest answer (default 512)")
    parser.add_argument("--stop", action="append", default=[], metavar="TEXT", help="end the answer before TEXT; may be given again")
    parser.add_argument("--dtype", choices=("auto", "bfloat16", "float32", "nf4"), default="auto", help="of the weights")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--debug", action="store_true", help="tracebacks for mistakes too")
    parser.add_argument("--version", action="version", version=f"vgpt2 {__version__}")
    parser.add_argument("question", nargs="?", help="answer this one and end")
    args = parser.parse_args(argv)
    if args.adapter and not args.model:
        parser.error("--adapter goes onto --model; --checkpoint finds its base by itself")
    return args


def chat(args: argparse.Namespace) -> int:
    """Answers the one question, or each line of stdin with the conversation before it."""
    from vgpt2 import checkpoint

    checkpoint.resolve(args.checkpoint or args.model)  # a wrong folder is answered before torch is imported
    from vgpt2.loading import load

    loaded = load(args.checkpoint or args.model, adapter=args.adapter, system=args.system, dtype=args.dtype, device=args.device)
    messages: list[Message] = []
    if args.question is not None:
        say(answer(loaded, [{"role": "user", "content": args.question}], args))
        return 0
    for question in questions():
        if question == "/new":
            messages.clear()
            continue
        messages.append({"role": "user", "content": question})
        try:
            said = say(answer(loaded, messages, args))
        except ValueError as error:  # most often a conversation longer than the model's context
            print(f"{error}; /new starts afresh", file=sys.stderr)
            messages.pop()
            continue
        messages.append({"role": "assistant", "content": said})
    return 0


def questions() -> Iterator[str]:
    """Lines of stdin that are not blank; on a terminal with a prompt."""
    while True:
        try:
            line = input("> " if sys.stdin.isatty() else "")
        except EOFError:
            return
        if line.strip():
            yield line.strip()


def answer(loaded: "Loaded", messages: "Sequence[Message]", args: argparse.Namespace) -> Iterator[str]:
    """The model's answer in pieces of text."""
    from vgpt2.generate import Request, stream

    tokenizer = loaded.tokenizer
    prompt = tokenizer.prompt(messages)
    request = Request(prompt, args.max_new_tokens, args.temperature, args.top_p, args.top_k, args.seed, stops=args.stop)
    budget = max(request.width, 1)
    for token in stream(loaded.model, [request], eos_ids=tokenizer.eos_ids, token_budget=budget, decode=tokenizer.decode):
        yield token.text


def say(parts: Iterable[str]) -> str:
    """Prints the parts as they come, without what would command the terminal; returns what was said, also when Ctrl+C cuts it."""
    said = ""
    try:
        for part in parts:
            said += part
            print(CONTROLS.sub("\ufffd", part), end="", flush=True)
    except KeyboardInterrupt:
        print(" (stopped)", end="", file=sys.stderr)
    print(flush=True)
    return said


if __name__ == "__main__":
    sys.exit(main())
