"""The rows of the house: a module imports from lower rows or its own, without a cycle, and heavy things stay in their rooms."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("vgpt2", "kernels", "eval")

# a name stands for the module and what lies below it; vgpt2.sql is a leaf and vgpt2.datagen lies in row 6, both by rules of their own
TABLE = """
7  vgpt2.train vgpt2.pipeline vgpt2.estimate vgpt2.export vgpt2.chat vgpt2.embedded vgpt2.datagen.__main__ vgpt2.sql.__main__ eval.run
7  eval.compare kernels.bench
6  vgpt2.loop vgpt2.reference vgpt2.probe vgpt2.run eval.suites eval.scores eval.paired eval.page eval.page_answers eval.markup eval.report
6  eval.judged eval.failures eval.abstention eval.passes eval.decision eval.attribution eval.progress
5  eval.execution eval.structural eval.prompts eval.confidence eval.answers vgpt2.stages vgpt2.loading vgpt2.judging vgpt2.runrecord
5  vgpt2.generate vgpt2.generation vgpt2.constrained vgpt2.preview
4  vgpt2.checkpoint vgpt2.optim
3  vgpt2.weights vgpt2.memory vgpt2.flops vgpt2.lora vgpt2.neftune vgpt2.llama_folder vgpt2.gguf_import vgpt2.gguf_export vgpt2.tiny
3  vgpt2.tokencache vgpt2.adapter_files vgpt2.modules_to_save vgpt2.pissa vgpt2.dora vgpt2.tensor_adamw vgpt2.step_bytes
2  vgpt2.model vgpt2.projections vgpt2.attention vgpt2.packing vgpt2.tokenizer vgpt2.dataset vgpt2.layouts vgpt2.preflight
2  vgpt2.offload vgpt2.cpu_layout vgpt2.targets vgpt2.encoding vgpt2.registry vgpt2.prefetch vgpt2.profiling vgpt2.qlora vgpt2.llamafactory
1  vgpt2.atomic vgpt2.manifest vgpt2.config vgpt2.configfile vgpt2.interrupts vgpt2.runlock
1  vgpt2.hub vgpt2.control_tokens vgpt2.rowfiles vgpt2.dropped vgpt2.workers
1  vgpt2.losses vgpt2.metrics vgpt2.plot vgpt2.rope_scaling vgpt2.model_config vgpt2.chat_template eval.intervals
0  kernels
"""
ROWS = [(int(line.split()[0]), line.split()[1:]) for line in TABLE.strip().splitlines()]
SQL_MAY_IMPORT = {"yaml", "sqlparse", "pyodbc"}
SQL_MAY_SHARE = {"vgpt2.atomic"}  # of the standard library itself
CONFINED = {
    "torch.distributed": (),
    "triton": tuple(f"kernels/{kernel}_triton.py" for kernel in ("rms_norm", "rope", "swiglu", "linear_logps", "nf4")),
    "sqlparse": ("vgpt2/sql/lexer.py",),
    "pyodbc": ("vgpt2/sql/importers/server.py",),
    "transformers": ("vgpt2/tokenizer.py", "vgpt2/chat_template.py"),
    "bitsandbytes": ("vgpt2/qlora.py",),
    "gguf": ("vgpt2/gguf_import.py", "vgpt2/gguf_export.py"),
    "sqlglot": ("eval/execution/translate.py", "eval/execution/ordering.py"),
    "matplotlib": ("vgpt2/plot.py",),
    "tensorboard": ("vgpt2/metrics.py",),
}


def modules() -> dict[str, Path]:
    found = {}
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            found[name] = path
    return found


def imports(path: Path, known: set[str]) -> set[str]:
    """Every module that the file imports anywhere, but for those under TYPE_CHECKING."""
    tree = ast.parse(path.read_text("utf-8"))
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    names = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            names |= {full if (full := f"{node.module}.{alias.name}") in known else node.module for alias in node.names}
    return names


def row(name: str) -> int | None:
    return next((row for row, members in ROWS if any(name == m or name.startswith(m + ".") for m in members)), None)


MODULES = modules()
IMPORTS = {name: imports(path, set(MODULES)) for name, path in MODULES.items()}
EMPTY = {name for name, path in MODULES.items() if path.name == "__init__.py"} | {"vgpt2", "eval"}
GENERATORS = {name for name in MODULES if name.startswith("vgpt2.datagen.") and not name.endswith("__main__")}
SQL = {name for name in MODULES if name.startswith("vgpt2.sql") and not name.endswith("__main__")}


@pytest.mark.parametrize("name", sorted(set(MODULES) - EMPTY - GENERATORS - SQL))
def test_a_module_imports_from_lower_rows_or_its_own(name):
    own = row(name)
    assert own is not None, f"{name} has no row; give it one in tests/test_layers.py"
    for other in IMPORTS[name] & set(MODULES) - {"vgpt2"}:
        if other in SQL:
            continue
        above = 6 if other in GENERATORS else row(other)
        assert above is None or above <= own, f"{name} (row {own}) imports {other} (row {above})"
        assert own < 7 or above != 7, f"{name} imports the command {other}"


@pytest.mark.parametrize("name", sorted(SQL))
def test_sql_is_a_leaf_of_the_standard_library_pyyaml_and_sqlparse(name):
    for other in IMPORTS[name] - {"vgpt2"}:
        top = other.partition(".")[0]
        assert other in SQL | SQL_MAY_SHARE or top in sys.stdlib_module_names | SQL_MAY_IMPORT, f"{name} imports {other}"


@pytest.mark.parametrize("name", sorted(n for n in MODULES if n.startswith("vgpt2.losses.")))
def test_losses_import_torch_only(name):
    for other in IMPORTS[name]:
        assert other.partition(".")[0] == "torch" or other.startswith("vgpt2.losses"), f"{name} imports {other}"


def test_training_never_imports_judging():
    for name in MODULES:
        if name.startswith("vgpt2"):
            assert not any(other.split(".")[0] == "eval" for other in IMPORTS[name]), name


def test_the_model_knows_no_adapter_config_or_checkpoint():
    for name in ("vgpt2.model", "vgpt2.attention", "vgpt2.model_config"):
        assert not IMPORTS[name] & {"vgpt2.lora", "vgpt2.config", "vgpt2.checkpoint", "vgpt2.loop"}, name


@pytest.mark.parametrize(("package", "rooms"), CONFINED.items())
def test_a_heavy_package_stays_in_its_rooms(package, rooms):
    for name, path in MODULES.items():
        uses = any(other == package or other.startswith(package + ".") for other in IMPORTS[name])
        assert not uses or path.relative_to(ROOT).as_posix() in rooms, f"{name} imports {package}"


def test_no_cycle_among_modules():
    graph = {name: {other for other in IMPORTS[name] if other in MODULES and other != name} for name in MODULES if name not in EMPTY}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path[path.index(name) :], name))
        if name not in done:
            for other in graph.get(name, ()):
                visit(other, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_no_module_is_much_above_three_hundred_lines():
    for path in MODULES.values():
        lines = len(path.read_text("utf-8").splitlines())
        assert lines <= 500, f"{path}: {lines} lines; find the second room in it"


def test_importing_the_package_loads_nothing_heavy():
    """INVARIANT 47."""
    heavy = ("torch", "transformers", "numpy", "triton")
    code = f"import sys, vgpt2, vgpt2.config, vgpt2.configfile; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


COMMANDS = [name for name in MODULES if row(name) == 7]


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_loads_nothing_heavy_and_gives_examples_in_sixty_lines(name):
    """INVARIANT 47: --help answers before torch is imported."""
    module = name.removesuffix(".__main__")
    code = (
        "import runpy, sys\n"
        f"sys.argv = [{module!r}, '--help']\n"
        "try:\n"
        f"    runpy.run_module({module!r}, run_name='__main__')\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code, stop.code\n"
        "print('HEAVY', [m for m in ('torch', 'transformers', 'triton', 'matplotlib') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    text, _, heavy = done.stdout.rpartition("HEAVY ")
    assert heavy.strip() == "[]"
    assert len(text.splitlines()) <= 60
    assert f"python -m {module}" in text, "an example stands in the help"
