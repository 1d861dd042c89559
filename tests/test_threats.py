"""The rows of the threat list that a look at the syntax tree can hold; each test names its row."""

import ast
import importlib
import importlib.metadata
import pkgutil
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("vgpt2", "kernels", "eval")
FILES = {
    path.relative_to(ROOT).as_posix(): ast.parse(path.read_text("utf-8")) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")
}

# name in `getattr` comes from a literal tuple in the same expression or from the fields of our own dataclass, never from a file
GETATTR_OF_OUR_NAMES = {
    "vgpt2/interrupts.py",  # names of signals and of the two output streams
    "vgpt2/stages/kto.py",  # the tensors of a batch
    "vgpt2/adapter_files.py",  # the fields of LoRAConfig that must agree
    "vgpt2/sql/parser/nodes.py",  # the fields of a node
}
NETWORK = {"vgpt2/embedded.py"}


def dotted(node: ast.expr) -> str:
    """torch.load for the expression torch.load; the empty text for anything that is no chain of names."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (prefix := dotted(node.value)):
        return f"{prefix}.{node.attr}"
    return ""


def calls() -> Iterator[tuple[str, str, ast.Call]]:
    for file, tree in FILES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                yield f"{file}:{node.lineno}", dotted(node.func), node


def imported() -> Iterator[tuple[str, str]]:
    for file, tree in FILES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from ((file, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield from ((file, f"{node.module}.{alias.name}") for alias in node.names)


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((each.value for each in call.keywords if each.arg == name), None)


def is_literal(node: ast.expr | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def offenders(is_offence: Callable[[str, ast.Call], bool]) -> list[str]:
    return [f"{place} {name}" for place, name, call in calls() if is_offence(name, call)]


def test_the_walk_sees_the_code():
    assert len(FILES) > 30
    assert any(name == "os.fsync" for _, name, _ in calls())


def test_nothing_is_unpickled():
    """Threat 1, 2."""
    unpicklers = {"pickle", "cPickle", "_pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal", "torch.distributed.checkpoint"}
    assert [found for found in imported() if found[1] in unpicklers or found[1].split(".")[0] in unpicklers] == []
    assert offenders(lambda name, call: name in ("torch.load", "torch.jit.load", "torch.hub.load", "pandas.read_pickle")) == []
    assert offenders(lambda name, call: keyword(call, "allow_pickle") is not None) == []


def test_no_text_becomes_code():
    """Threat 3: dispatch goes through dict literals only."""
    assert (
        offenders(lambda name, call: name in ("eval", "exec", "compile", "__import__", "importlib.import_module", "runpy.run_path")) == []
    )
    for place, name, call in calls():
        if name in ("getattr", "setattr", "hasattr") and not isinstance(call.args[1], ast.Constant):
            assert place.split(":")[0] in GETATTR_OF_OUR_NAMES, f"{place}: {name} with a name that is not a literal"


def test_no_command_goes_through_a_shell():
    """Threat 4: argv lists only."""
    assert (
        offenders(lambda name, call: name in ("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "pty.spawn"))
        == []
    )
    assert offenders(lambda name, call: keyword(call, "shell") is not None) == []
    starts = ("subprocess.run", "subprocess.Popen", "subprocess.call", "subprocess.check_call", "subprocess.check_output")
    assert offenders(lambda name, call: name in starts and isinstance(call.args[0], ast.Constant | ast.JoinedStr | ast.BinOp)) == []


def test_no_model_folder_brings_code():
    """Threat 5."""
    assert (
        offenders(
            lambda name, call: keyword(call, "trust_remote_code") is not None and not is_literal(keyword(call, "trust_remote_code"), False)
        )
        == []
    )
    automatic = re.compile(r"transformers\.(AutoModel|AutoConfig|pipeline|dynamic_module_utils)")
    assert [found for found in imported() if automatic.match(found[1])] == []
    assert offenders(lambda name, call: bool(automatic.match(name))) == []


def test_yaml_makes_plain_values_only():
    """Threat 7."""
    allowed = ("yaml.safe_load", "yaml.safe_dump", "yaml.SafeLoader", "yaml.compose")
    loaders = offenders(lambda name, call: name.startswith("yaml.") and "load" in name.lower() and name not in allowed)
    assert loaders == []


def test_no_archive_is_unpacked_whole():
    """Threat 9: members are read by name."""
    assert (
        offenders(lambda name, call: name.split(".")[-1] in ("extractall", "extract", "unpack_archive") and name != "vgpt2.sql.extract")
        == []
    )


def test_only_the_fetch_of_the_embedded_model_may_use_the_network():
    """Threat 10, 20. Sockets between our own threads and the name of this machine are no network."""
    network = (
        "urllib.request",
        "http",
        "requests",
        "httpx",
        "aiohttp",
        "huggingface_hub",
        "ftplib",
        "smtplib",
        "xmlrpc",
        "socketserver",
        "webbrowser",
    )
    found = {file for file, name in imported() if any(name == each or name.startswith(f"{each}.") for each in network)}
    assert found <= NETWORK
    assert {file for file, name in imported() if name == "socket"} <= {"vgpt2/interrupts.py", "vgpt2/runlock.py"}
    assert offenders(lambda name, call: name.startswith("socket.") and name not in ("socket.socketpair", "socket.gethostname")) == []


def test_tokenizers_are_read_from_the_folder_and_never_fetched():
    """Threat 10."""
    for place, name, call in calls():
        if name.endswith(".from_pretrained"):
            assert is_literal(keyword(call, "local_files_only"), True), f"{place}: from_pretrained without local_files_only=True"


def test_nothing_deletes_through_a_link():
    """Threat 12: trees are removed in one place, which removes a link itself."""
    assert {place.split(":")[0] for place, name, _ in calls() if name.endswith("rmtree")} == {"vgpt2/atomic.py"}


def test_errors_are_caught_by_name():
    """Threat 14: a bare handler, or one of everything, must raise again."""
    wide = {"Exception", "BaseException"}
    for file, tree in FILES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler):
                kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
                if any(kind is None or dotted(kind) in wide for kind in kinds):
                    assert any(isinstance(inner, ast.Raise) for inner in ast.walk(node)), f"{file}:{node.lineno} swallows every error"
    assert offenders(lambda name, call: name.split(".")[-1] == "suppress" and any(dotted(kind) in wide for kind in call.args)) == []


def test_no_query_is_put_together_from_text():
    """Threat 15."""
    composed = ast.JoinedStr | ast.BinOp
    assert (
        offenders(lambda name, call: name.split(".")[-1].startswith("execute") and bool(call.args) and isinstance(call.args[0], composed))
        == []
    )


def test_no_temporary_name_can_be_guessed_and_no_mode_is_wider_than_the_umask():
    """Threat 18."""
    assert offenders(lambda name, call: name in ("tempfile.mktemp", "os.umask")) == []
    fixed = offenders(lambda name, call: name.split(".")[-1] in ("chmod", "fchmod") and isinstance(call.args[-1], ast.Constant))
    assert fixed == []


def test_no_process_is_ended_that_is_not_our_child():
    """Threat 19: a pid from a file is only asked whether it lives."""
    kills = [(place.split(":")[0], call) for place, name, call in calls() if name in ("os.kill", "os.killpg", "signal.pidfd_send_signal")]
    for file, call in kills:
        asked = is_literal(call.args[1], 0)
        assert asked or dotted(call.args[0]).startswith("child."), f"{file}:{call.lineno}"


@pytest.mark.parametrize(
    ("name", "floor"),
    [("torch", (2, 11)), ("transformers", (5, 3)), ("jinja2", (3, 1, 6)), ("starlette", (1, 0, 1)), ("safetensors", (0, 5))],
)
def test_installed_versions_are_not_below_the_safe_ones(name, floor):
    """Threat 21."""
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{name} is not installed")
    assert tuple(int(part) for part in re.findall(r"\d+", version)[: len(floor)]) >= floor


def patterns() -> dict[tuple[str, str], re.Pattern[str]]:
    """Every pattern of ours by where it stands and the method that it is used with."""
    used = {(name.split(".")[-2], name.split(".")[-1]) for _, name, _ in calls() if "." in name}
    found = {}
    for folder in FOLDERS:
        for info in pkgutil.walk_packages(importlib.import_module(folder).__path__, f"{folder}."):
            if info.name.endswith("__main__"):
                continue
            try:
                module = importlib.import_module(info.name)
            except ImportError:  # an extra that is not installed
                continue
            for name, value in vars(module).items():
                if isinstance(value, re.Pattern) and value.__class__ is re.Pattern and isinstance(value.pattern, str):
                    methods = {method for owner, method in used if owner == name} & {"match", "fullmatch"}
                    scans = {method for owner, method in used if owner == name} & {"search", "sub", "subn", "finditer", "findall", "split"}
                    for method in [*methods, *(["search"] if scans or not methods else [])]:
                        found[f"{info.name}.{name}", method] = value
    for place, name, call in calls():
        if name.startswith("re.") and name != "re.escape" and name != "re.compile" and isinstance(call.args[0], ast.Constant):
            method = name.removeprefix("re.")
            found[place, method if method in ("match", "fullmatch") else "search"] = re.compile(call.args[0].value)
    return found


def worst_units(pattern: re.Pattern[str]) -> list[str]:
    """The letters, and pairs of letters, that the pattern speaks of."""
    spoken = re.sub(r"\\[a-zA-Z]", "", pattern.pattern)
    letters = sorted(set(spoken) & set("\"'`[](){}.,;:*/-_=<>@#\\")) + [" ", "\n", "a", "A", "0", "é"]
    return [*letters, *(first + second for first in letters[-9:] for second in letters[-9:] if first != second)]


def seconds_of(search: Callable[[str], object], text: str, limit_s: float) -> float:
    """The quickest of three, because others use the machine too."""
    best = float("inf")
    for _ in range(3):
        began = time.process_time()
        search(text)
        best = min(best, time.process_time() - began)
        if best <= limit_s:
            break
    return best


def slowness(pattern: re.Pattern[str], method: str) -> str | None:
    """A text of one unit, ended by a letter that the pattern does not speak of, 100 KB long, on which it takes more than 100 ms.

    What takes 10 ms for a tenth of it would, and what takes less than 1 ms would not even if it were quadratic: both are not tried longer.
    """
    for unit in worst_units(pattern):
        for length, limit_s in ((10_000, 0.01), (100_000, 0.1)):
            seconds = seconds_of(getattr(pattern, method), (unit * length)[:length] + "\x00", limit_s)
            if seconds > limit_s:
                return f"{unit!r} x {length // 1000} KB takes {seconds:.3f} s"
            if seconds < 0.001:
                break
    return None


@pytest.mark.slow
def test_no_pattern_of_ours_takes_long_on_any_text():
    """Threat 23."""
    found = patterns()
    slow = [f"{place} {method}: {reason}" for (place, method), pattern in found.items() if (reason := slowness(pattern, method))]
    print(f"patterns within 100 ms for 100 KB of their worst letters: {len(found) - len(slow)} / {len(found)}")
    assert slow == []
