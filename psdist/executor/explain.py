"""A plan in words and in a picture: what every pass did, what memory it takes, where the time goes.

Predicted times come from three rates of this machine, measured on the spot: of a matrix product, of a copy, and
the cost of a call. They are a model's, good to a factor of two or so; `run` measures.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..context import cpu
from ..errors import ConfigError
from ..symbol.symbol import Symbol, load
from .chains import Chain
from .ir import Instr, Mark, Value, View
from .plan import Plan

__all__ = ["Rates", "explain", "explain_file", "measure", "picture", "write_picture"]

_HEAVY = ("convolve", "matmul", "vecdot", "dot of channels")
_REPEATS = 7


@dataclass(frozen=True)
class Rates:
    """What this machine does in a microsecond."""

    product: float  # floating-point operations of a matrix product
    copy: float  # bytes read and written
    call: float  # microseconds of a call

    @classmethod
    def here(cls) -> Rates:
        """Measured now, in some 20 ms."""
        a = np.ones((256, 256), np.float32)
        big, out = np.ones(1 << 20, np.float32), np.ones(1 << 20, np.float32)
        tiny = np.zeros(1, np.float32)
        return cls(
            2 * 256**3 / _best(lambda: np.matmul(a, a, a.copy())),
            2 * big.nbytes / _best(lambda: np.copyto(out, big)),
            _best(lambda: [np.add(tiny, tiny, tiny) for _ in range(100)]) / 100,
        )


def _best(work: Any) -> float:
    """The shortest of a few runs, in microseconds."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return max(min(times), 1e-9) * 1e6


def predict(instr: Instr, calls: int, rates: Rates) -> float:
    """Microseconds that an instruction should take."""
    moved = sum(v.nbytes for v in [*instr.reads, *instr.writes])
    if isinstance(instr, Chain):
        moved += sum(m.writes[0].nbytes for m in instr.members) // 2  # in the cache
    heavy = instr.title.startswith(_HEAVY)
    return calls * rates.call + moved / rates.copy + (instr.flops() / rates.product if heavy else 0.0)


def measure(plan: Plan, rng: np.random.Generator) -> dict[int, float]:
    """Microseconds of every instruction, by its id: the median of a few runs, step by step."""
    steps = [*plan.forward, *plan.backward]
    plan.source.rng = rng
    runs: list[dict[int, float]] = []
    with np.errstate(all="ignore"):
        for _ in range(_REPEATS + 1):
            spent: Counter[int] = Counter()
            for k, (function, args) in enumerate(steps):
                start = time.perf_counter()
                function(*args)
                spent[id(plan.makers[k])] += time.perf_counter() - start  # type: ignore[assignment]
            runs.append({i: s * 1e6 for i, s in spent.items()})
    return {i: statistics.median(r[i] for r in runs[1:]) for i in runs[0]}  # the first one warms up


def explain(plan: Plan, measured: Mapping[int, float] | None = None) -> str:
    """The plan in words."""
    rates = Rates.here()
    calls = Counter(id(i) for i in plan.makers)
    kind = "training" if plan.is_train else "prediction"
    lines = [f"plan for {kind}: {len(plan.program.steps)} operators, {len(plan.forward)} calls forward"]
    if plan.backward:
        lines[0] += f", {len(plan.backward)} back"
    lines += ["", *_passes(plan), "", *_memory(plan), ""]
    head = f"{'node':24} {'what':44} {'result':22} {'calls':>5} {'MB':>7} {'pred µs':>9}"
    lines += [head + (f" {'meas µs':>9}" if measured else ""), "─" * (len(head) + (10 if measured else 0))]
    total = [0.0, 0.0]
    backward = False
    for instr in plan.instrs:
        if isinstance(instr, Mark) and instr.argument is None and plan.backward:
            lines.append("── backward")
            backward = True
        if isinstance(instr, Mark) and instr.argument is not None and backward:
            lines.append(f"{'':24} gradient of {plan.program.args[instr.argument].name} is complete")
        if isinstance(instr, Mark | View):
            continue
        moved = sum(v.nbytes for v in [*instr.reads, *instr.writes]) / 2**20
        guess = predict(instr, calls[id(instr)], rates)
        row = f"{_cut(instr.node, 24):24} {_cut(instr.title, 44):44} {_cut(_results(instr), 22):22} "
        row += f"{calls[id(instr)]:5} {moved:7.3f} {guess:9.1f}"
        total[0] += guess
        if measured:
            row += f" {measured.get(id(instr), 0.0):9.1f}"
            total[1] += measured.get(id(instr), 0.0)
        lines.append(row)
    lines.append(
        f"{'total':24} {'':44} {'':22} {len(plan.makers):5} {'':7} {total[0]:9.1f}"
        + (f" {total[1]:9.1f}" if measured else "")
    )
    return "\n".join(lines) + "\n"


def explain_file(
    path: Path, shapes: Sequence[str], predict_only: bool, run: bool, picture_path: str | None
) -> str:
    """What `psdist explain` prints of the graph in a file. Raises ConfigError for a shape that does not parse."""
    known: dict[str, Any] = {}
    for text in shapes:
        name, _, sizes = text.partition("=")
        try:
            known[name] = tuple(int(n) for n in sizes.split(","))
        except ValueError:
            raise ConfigError(f"--shape {text}: wanted NAME=N,N,... such as data=64,1,28,28") from None
    if not path.exists():
        raise ConfigError(f"there is no file {path}")
    symbol = load(path)
    executor = symbol.simple_bind(
        cpu(), grad_req="null" if predict_only else _parameters(symbol, known), **known
    )
    rng = np.random.default_rng(0)
    for name, a in executor.arg_dict.items():
        if name not in known:
            a._data[...] = rng.standard_normal(a.shape) * 0.1
    return executor.explain(not predict_only, run, picture_path)


def _parameters(symbol: Symbol, inputs: Mapping[str, Any]) -> dict[str, str]:
    """A gradient for every argument that is neither an input nor a label."""
    names = symbol.list_arguments()
    return {n: "null" if n in inputs or n.endswith("label") else "write" for n in names}


def _passes(plan: Plan) -> list[str]:
    lines = [f"{'pass':12} {'before':>6} {'after':>6}  promise"]
    for r in plan.reports:
        lines.append(f"{r.name:12} {r.before:6} {r.after:6}  {' '.join(r.promise.split())}")
        lines += [f"{'':26}  · {note}" for note in r.notes]
    return lines


def _memory(plan: Plan) -> list[str]:
    m = plan.memory
    share = f" ({m.size / m.unshared:.2f} of it)" if m.unshared else ""
    return [
        f"memory: intermediates {m.unshared / 2**20:.3f} MB, in one arena of {m.size / 2**20:.3f} MB{share}"
    ]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _results(instr: Instr) -> str:
    return ", ".join(_shape(v) for v in instr.writes[:2]) + ("…" if len(instr.writes) > 2 else "")


def _shape(v: Value) -> str:
    """Its shape, and the order of its axes in memory where that is not the ordinary one."""
    order = "" if v.order == tuple(range(len(v.shape))) else "@" + "".join(map(str, v.order))
    home = f" {v.bound[0]}" if v.bound is not None else ""
    return "×".join(map(str, v.shape)) + order + home


def picture(plan: Plan, measured: Mapping[int, float] | None = None) -> str:
    """The plan as a graph in Graphviz's language. What takes a tenth of the measured time or more has a thick border."""
    lines = [
        "digraph plan {",
        '  label="forward is blue, back is yellow; @1230 is the order in which axes lie in memory"; labelloc=t;',
        '  fontname="Helvetica"; fontsize=11; ranksep=0.35; nodesep=0.2;',
        '  node [shape=box, style="rounded,filled", fontname="Helvetica", fontsize=10, margin="0.12,0.04"];',
        '  edge [color="#666666", arrowsize=0.7];',
    ]
    whole = sum(measured.values()) if measured else 0.0
    made: dict[Value, str] = {}
    base = {v: i.reads[0] for i in plan.instrs if isinstance(i, View) for v in i.writes}
    names = {("arg", i): n.name for i, n in enumerate(plan.program.args)}
    names |= {("aux", i): n.name for i, n in enumerate(plan.program.auxs)}
    for k, instr in enumerate(plan.instrs):
        if isinstance(instr, Mark | View):
            continue
        color = "#e9c46a" if instr.back else "#8ecae6"
        spent = measured.get(id(instr), 0.0) if measured else 0.0
        text = f"{instr.node}\n{_wrapped(instr.title)}\n{_results(instr)}"
        text += "".join(f"\ngradient of {names['arg', v.bound[1]]}" for v in instr.writes if _is_gradient(v))  # type: ignore[index]
        text += f"\n{_duration(spent)}" if measured else ""
        border = ", penwidth=3" if spent > whole / 10 > 0 else ""
        lines.append(f'  i{k} [label="{_quoted(text)}", fillcolor="{color}"{border}];')
        for v in dict.fromkeys(instr.reads):
            while v in base:
                v = base[v]
            if v in made:
                lines.append(f"  {made[v]} -> i{k};")
            elif v.bound in names:
                name = _quoted(names[v.bound])
                lines.append(f'  "{name}" [shape=ellipse, fillcolor="#eeeeee"]; "{name}" -> i{k};')
        for v in instr.writes:
            made[v] = f"i{k}"
            while v in base:  # a result seen in another shape
                v = base[v]
                made[v] = f"i{k}"
    return "\n".join([*lines, "}"]) + "\n"


def _is_gradient(v: Value) -> bool:
    return v.bound is not None and v.bound[0] == "grad"


def _duration(us: float) -> str:
    return f"{us / 1000:.3g} ms" if us >= 1000 else f"{us:.3g} µs"


def _wrapped(text: str) -> str:
    words, lines = text.split(", "), [""]
    for word in words:
        if len(lines[-1]) + len(word) > 40:
            lines.append("")
        lines[-1] += (", " if lines[-1] else "") + word
    return "\n".join(lines)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def write_picture(text: str, path: str | Path) -> None:
    """Write a graph: as it is for a name that ends in .dot, else drawn by Graphviz in the name's format.

    Raises ConfigError where Graphviz is not installed.
    """
    path = Path(path)
    if path.suffix in (".dot", ".gv"):
        path.write_text(text, encoding="utf-8")
        return
    try:
        import graphviz  # type: ignore[import-untyped,unused-ignore]
    except ImportError as e:
        raise ConfigError(
            f"{path}: drawing needs graphviz: pip install 'psdist[graph]'; or name a .dot file"
        ) from e
    try:
        path.write_bytes(graphviz.Source(text).pipe(format=path.suffix.lstrip(".") or "svg"))
    except graphviz.ExecutableNotFound as e:
        raise ConfigError(f"{path}: Graphviz's program `dot` is not installed; or name a .dot file") from e
