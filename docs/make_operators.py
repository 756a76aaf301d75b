"""Write docs/operators.md from the operators themselves:

    python docs/make_operators.py

A test says when it is no longer current.
"""

import importlib
import inspect
import pkgutil
import textwrap
from pathlib import Path

import psdist.ops as ops

HERE = Path(__file__).parent
HEAD = """# Operators

Every operator is a function of `mx.nd` (on arrays, at once) and of `mx.sym` (in a graph) by any of its names. Arrays
come first, by position or by name; parameters by name, as Python values or as text. The line under *Shapes* is the rule
by which shapes are inferred: a size has one value throughout, a size named like a parameter takes that parameter's
value, `*s` is any number of sizes, `...` sizes that broadcast.

This page is made from the source by `python docs/make_operators.py`.
"""


def sections():
    """(title, introduction, operators) of each file, in the order in which they are registered."""
    found = {}
    for module in pkgutil.iter_modules(ops.__path__):
        text = inspect.getdoc(importlib.import_module(f"psdist.ops.{module.name}")) or module.name
        found[f"psdist.ops.{module.name}"] = (module.name, text.splitlines()[0], [])
    for op in ops.all_ops().values():
        found[op.kernel.__module__][2].append(op)
    return [section for section in found.values() if section[2]]


def entry(op):
    lines = [f"### {op.name}", "", textwrap.dedent(op.doc)]
    if op.signature is not None:
        lines += ["", f"*Shapes* `{op.signature.text}`"]
    names = [f"`{'*' if op.variadic and n == op.inputs[-1] else ''}{n}`" + notes(op, n) for n in op.inputs]
    if names:
        lines += ["", "*Arrays* " + ", ".join(names)]
    if op.params:
        lines += ["", "| parameter | type | default |", "|---|---|---|"]
        for p in op.params.values():
            default = "" if p.is_required else f"`{p.default!r}`"
            lines.append(f"| `{p.name}` | {p.wanted.replace('|', 'or')} | {default} |")
    if op.aliases:
        lines += ["", "*Also* " + ", ".join(f"`{a}`" for a in op.aliases)]
    return "\n".join(lines)


def notes(op, name):
    words = [w for w, there in (("optional", op.optional), ("state", op.aux)) if name in there]
    return f" ({', '.join(words)})" if words else ""


def page():
    parts = [HEAD]
    listing = sections()
    for name, _, members in listing:
        parts.append(f"- [{name}](#{name}): " + ", ".join(f"`{op.name}`" for op in members) + "\n")
    for name, introduction, members in listing:
        parts += [f"\n## {name}\n\n{introduction}\n", *(entry(op) + "\n" for op in members)]
    return "\n".join(parts).replace("\n\n\n", "\n\n")


if __name__ == "__main__":
    (HERE / "operators.md").write_text(page())
