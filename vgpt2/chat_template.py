"""Chat templates: rendered in transformers' sandbox, and tried out in a limited child process before their first use.

A template is a program that comes with a model. The sandbox keeps it from files and code, not from endless loops or from filling the
memory, so `try_out` lets a child render it with a clock, a memory limit and a limit on the text.
"""

import faulthandler
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

TRIAL_S = 2.0
TRIAL_MEMORY_BYTES = 512 * 2**20
TRIAL_TEXT_CHARS = 2**20
START_S = 60.0  # the child's imports, on a machine that is busy
# some templates write today's date, which would give other tokens to the same row tomorrow
DATE = "26 Jul 2024"

TRIAL_MESSAGES = (
    {"role": "system", "content": "a"},
    {"role": "user", "content": "b"},
    {"role": "assistant", "content": "c"},
    {"role": "user", "content": "d"},
    {"role": "assistant", "content": "e"},
)

_tried: set[str] = set()


def fingerprint(template: str) -> str:
    return hashlib.sha256(template.encode()).hexdigest()


def render(template: str, messages: Sequence[Mapping[str, str]], variables: Mapping[str, str], *, generation_prompt: bool) -> str:
    """The conversation as text; `variables` are the names that templates expect beside the messages, such as bos_token.

    Raises ValueError with the template's own complaint in one line.
    """
    from jinja2 import TemplateError
    from transformers.utils.chat_template_utils import render_jinja_template

    said = [dict(message) for message in messages]
    named: dict[str, Any] = {"date_string": DATE, **variables}
    try:
        # annotated as text, in truth the pair (texts, ranges of assistant turns)
        rendered: Any = render_jinja_template([said], chat_template=template, add_generation_prompt=generation_prompt, **named)
    # the operations of a template are Python's, and so are their errors
    except (TemplateError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError, MemoryError) as error:
        complaint = " ".join(str(error).split())[:80]
        raise ValueError(f"chat template: {type(error).__name__}: {complaint}; mend the row or the template") from error
    return str(rendered[0][0])


def try_out(template: str, variables: Mapping[str, str]) -> None:
    """Returns when a limited child process has rendered a short conversation; a template is tried once in a process.

    Raises ValueError when the template breaks, runs longer than 2 s, takes more than 512 MB (Linux) or writes more than 1 M characters.
    """
    if fingerprint(template) in _tried:
        return
    if "strftime_now" in template and "date_string" not in template:
        raise ValueError("chat template: writes today's date, so tokens would change from day to day; put a fixed date for strftime_now")
    package_root = str(Path(__file__).resolve().parents[1])
    paths = [package_root, *filter(None, [os.environ.get("PYTHONPATH")])]
    try:
        child = subprocess.run(
            [sys.executable, "-P", "-m", "vgpt2.chat_template"],
            input=json.dumps({"template": template, "variables": dict(variables)}).encode(),
            capture_output=True,
            timeout=START_S,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "HF_HUB_OFFLINE": "1"},
        )
        verdict = child.stdout.decode("utf-8", "replace").strip()
    except subprocess.TimeoutExpired:
        verdict = ""
    if verdict != "fine":
        limits = f"it did not end within {TRIAL_S:.0f} s and {TRIAL_MEMORY_BYTES // 2**20} MB"
        raise ValueError(f"chat template: refused after a trial, {verdict[:80] or limits}; use the template of the model's authors")
    trust(fingerprint(template))


def trust(template_fingerprint: str) -> None:
    """Spares a worker the trial that its parent has made."""
    _tried.add(template_fingerprint)


def _trial(template: str, variables: Mapping[str, str]) -> str:
    """ "fine", or what is wrong; runs in the child."""
    from jinja2 import TemplateError
    from jinja2.sandbox import SecurityError

    turns = TRIAL_MESSAGES
    longest = 0
    for messages, generation_prompt in ((turns[1:2], True), (turns, False), (turns[:-1], True), (turns[1:], False)):
        try:
            longest = max(longest, len(render(template, messages, variables, generation_prompt=generation_prompt)))
        except ValueError as error:
            cause = error.__cause__
            # templates may object to a system message or to an order of roles; rows that have those will be told
            if len(messages) == 1 or isinstance(cause, SecurityError) or not isinstance(cause, TemplateError):
                return f"{type(cause).__name__}: {' '.join(str(cause).split())}"
    if longest > TRIAL_TEXT_CHARS:
        return f"it writes {longest:,} characters for five short messages"
    return "fine"


def _limit_memory() -> None:
    """At most TRIAL_MEMORY_BYTES more than now. Where there is no /proc, only the clock limits the child."""
    size = Path("/proc/self/statm")
    if not size.exists():
        return
    import resource

    limit = int(size.read_text("ascii").split()[0]) * resource.getpagesize() + TRIAL_MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _main() -> None:
    request = json.load(sys.stdin.buffer)
    render("{{ messages[0].content }}", TRIAL_MESSAGES, {}, generation_prompt=False)  # imports, before clock and limits start
    _limit_memory()
    # a watchdog thread in C: it ends the process even inside a long operation of Python's own
    faulthandler.dump_traceback_later(TRIAL_S, exit=True)
    sys.stdout.write(_trial(request["template"], request["variables"]))


if __name__ == "__main__":
    _main()
