"""The architecture as a test: imports point down, and what is received is never executed.

The table is the map of the house, from the bottom. A row may import the rows under it. Within a row, `|`
parts neighbours that do not know each other, and a space joins parts that may. To change the architecture,
change the table, in a commit of its own.
"""

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
ROOTS = {
    "psdist": CHECKOUT / "psdist",
    "psdist_server": CHECKOUT / "server" / "psdist_server",
    "psdist_worker": CHECKOUT / "worker" / "psdist_worker",
    "psdist_launch": CHECKOUT / "launch" / "psdist_launch",
}

ROWS = """
psdist.errors psdist.context psdist.settings psdist.base psdist.registry psdist.blas psdist.attribute psdist.name psdist.profiler
psdist.util psdist.runtime psdist.engine psdist.libinfo psdist.log psdist.compat psdist.malloc psdist.failpoints psdist.stamps psdist.jit
psdist.random
psdist.table
psdist.ops | psdist.wire | psdist.recordio psdist.imagefile | psdist.rnn_weights
psdist.autograd
psdist.ndarray
psdist.symbol psdist.operator | psdist.optimizer | psdist.initializer | psdist.lr_scheduler | psdist.metric | psdist.io psdist.image
psdist.executor | psdist.kvstore | psdist.visualization
psdist.checkpoint
psdist.module psdist.callback psdist.monitor | psdist.rnn
psdist.model psdist.executor_manager
psdist.contrib psdist.test_utils
psdist psdist.__main__
psdist_launch | psdist_server | psdist_worker
"""  # noqa: E501

PLACE = {
    name: (height, column)
    for height, row in enumerate(ROWS.strip().splitlines())
    for column, names in enumerate(row.split("|"))
    for name in names.split()
}

# Ways up, each inside a function, and each because MXNet's API hangs a higher row's work on a lower row's object.
DOORS = {
    ("psdist.random", "psdist.ndarray"),  # mx.random.uniform(...) makes an array
    ("psdist.autograd", "psdist.symbol"),  # autograd.get_symbol(array) gives what was recorded as a graph
    ("psdist.ndarray", "psdist.symbol"),  # mx.nd.CachedOp(symbol) calls a graph on arrays
    ("psdist.symbol", "psdist.executor"),  # symbol.bind(...) makes an executor
}

# The simulated worlds of `psdist torture` and `psdist plan` play the rules of both roles against each other: they know both.
STAGES = ("psdist_launch.torture.", "psdist_launch.plan.")

# What would execute something received, or could.
FORBIDDEN_MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve", "jsonpickle"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}


def files() -> Iterator[tuple[str, Path]]:
    """(import name, path) of every source file."""
    for name, root in ROOTS.items():
        for path in sorted(root.rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            yield ".".join((name, *(part for part in parts if part != "__init__"))), path


FILES = dict(files())


def unit(module: str) -> str:
    """The entry of the table that `module` belongs to."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "psdist" else parts[0]


@functools.cache
def nodes(module: str) -> list[ast.AST]:
    """All that its source says."""
    return list(ast.walk(ast.parse(FILES[module].read_text(), str(FILES[module]))))


def imports(module: str) -> Iterator[tuple[str, int]]:
    """(module, line) of everything that it imports when it runs, inside functions too."""
    package = module if FILES[module].name == "__init__.py" else module.rpartition(".")[0]
    for_types_only = {
        inner
        for node in nodes(module)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in nodes(module):
        if node in for_types_only:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                yield (whole if whole in FILES else base), node.lineno


@pytest.mark.parametrize("module", FILES)
def test_imports_point_down(module):
    here = unit(module)
    assert here in PLACE, f"{here} has no place in the table ROWS of this file: choose its row, and say why"
    height, column = PLACE[here]
    for other, line in imports(module):
        there = unit(other)
        if other.split(".")[0] not in ROOTS or there == here or (here, there) in DOORS:
            continue
        if module.startswith(STAGES) and there in ("psdist_server", "psdist_worker"):
            continue
        if there == "psdist" and here.startswith("psdist."):
            pytest.fail(f"{module}:{line} imports the package's own front door; name the part: .{other}")
        assert there in PLACE, f"{module}:{line} imports {other}, which has no place in the table"
        above, beside = PLACE[there]
        assert above < height or (above == height and beside == column), (
            f"{module}:{line} imports {other}: {here} stands "
            f"{'beside' if above == height else 'below'} {there} and may not know it"
        )


@pytest.mark.parametrize("module", FILES)
def test_nothing_received_is_ever_executed(module):
    for other, line in imports(module):
        assert other.split(".")[0] not in FORBIDDEN_MODULES, f"{module}:{line} imports {other}"
    for node in nodes(module):
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            assert name not in FORBIDDEN_CALLS, f"{module}:{node.lineno} calls {name}()"
            for keyword in node.keywords:
                allowed = keyword.arg == "allow_pickle" and getattr(keyword.value, "value", True) is True
                assert not allowed, f"{module}:{node.lineno} lets NumPy unpickle"


# Where the time of day is written down for people.
FOR_PEOPLE = {"psdist_server.snapshot", "psdist_launch.supervise"}


@pytest.mark.parametrize("module", FILES)
def test_nothing_that_waits_reads_the_time_of_day(module):
    """Clocks jump; the monotonic one does not."""
    called = {ast.unparse(node) for node in nodes(module) if isinstance(node, ast.Attribute)}
    daily = called & {"time.time", "time.time_ns", "time.localtime", "time.strftime", "datetime.now"}
    assert not daily or module in FOR_PEOPLE, f"{module} reads {daily}"


def test_the_library_loads_no_role_and_no_socket():
    script = (
        "import sys, psdist; print(sorted(m for m in sys.modules if m.partition('.')[0] in sys.argv[1:]))"
    )
    roles = [name for name in ROOTS if name != "psdist"]
    found = subprocess.run(
        [sys.executable, "-c", script, "zmq", *roles], capture_output=True, text=True, check=True
    ).stdout
    assert found.strip() == "[]"


def test_the_library_names_a_role_only_where_it_loads_it():
    """The one door: `kvstore.create("dist_...")` loads the worker's side by name."""
    naming = [
        module
        for module in FILES
        if unit(module).startswith("psdist.") and "psdist_" in FILES[module].read_text()
    ]
    loading = [module for module in naming if "import_module" in FILES[module].read_text()]
    assert len(loading) <= 1
    assert all(unit(module) == "psdist.kvstore" for module in loading)
