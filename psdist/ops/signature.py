"""The shape rule of an operator, read from one line such as

    (n, i), (num_hidden, i), (num_hidden) -> (n, num_hidden)

A *size* (`n`) has one value throughout. A size named like a parameter takes that parameter's value, so data and
`num_hidden` alone settle a weight's shape. `*s` stands for any number of sizes, `...` for sizes that broadcast.
What needs arithmetic is computed by `where`: functions whose arguments are named after sizes and parameters. They wait
until all of these are known, unless they are marked as `partial`: then they take runs in which sizes are 0.

Inference runs in every direction the line allows: 0 is a size not known yet, None a shape not known yet.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import ShapeError
from .arguments import read

__all__ = ["Shape", "Signature", "broadcast_shapes", "merge_shapes", "partial"]

Shape = tuple[int, ...]
Where = Mapping[str, Callable[..., Any]]

_TOKEN = re.compile(r"\.\.\.|\*?[A-Za-z_]\w*|\d+")


@dataclass(frozen=True, slots=True)
class _Pattern:
    """One array's sizes: `head`, then at most one run (`*s` or `...`), then `tail`."""

    head: tuple[str, ...]
    run: str | None
    tail: tuple[str, ...]
    text: str

    @classmethod
    def parse(cls, text: str) -> _Pattern:
        names = tuple(_TOKEN.findall(text))
        runs = [i for i, name in enumerate(names) if name == "..." or name.startswith("*")]
        assert len(runs) <= 1, f"{text}: one run of sizes at most"
        if not runs:
            return cls(names, None, (), text)
        i = runs[0]
        return cls(names[:i], names[i].lstrip("*"), names[i + 1 :], text)


@functools.cache
def _parse_side(text: str) -> tuple[_Pattern, ...]:
    return tuple(_Pattern.parse(part) for part in re.findall(r"\([^()]*\)", text))


def merge_shapes(a: Shape | None, b: Shape | None) -> Shape | None:
    """What two partial shapes of one array say together. Raises ShapeError when they contradict."""
    if a is None or b is None:
        return b if a is None else a
    if len(a) != len(b) or any(p and q and p != q for p, q in zip(a, b, strict=True)):
        raise ShapeError(f"{a} does not fit {b}")
    return tuple(p or q for p, q in zip(a, b, strict=True))


def broadcast_shapes(shapes: Sequence[Shape]) -> Shape:
    """NumPy's broadcasting of partial shapes; 0 where a size stays unknown."""
    ndim = max(map(len, shapes), default=0)
    out = []
    for i in range(ndim):
        sizes = {s[i - ndim + len(s)] for s in shapes if i - ndim + len(s) >= 0} - {1}
        known = sizes - {0}
        if len(known) > 1:
            raise ShapeError(f"cannot broadcast {' with '.join(map(str, shapes))}")
        out.append(known.pop() if known else 0 if sizes else 1)
    return tuple(out)


def partial(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a `where` function that can do with sizes not known yet."""
    function.takes_unknown_sizes = True  # type: ignore[attr-defined]
    return function


@dataclass(slots=True)
class Signature:
    """A parsed line. `infer` fills in what follows from what is known."""

    text: str
    where: Where = field(default_factory=dict)
    inputs: tuple[_Pattern, ...] = ()
    outputs: tuple[_Pattern, ...] = ()
    needs: dict[str, tuple[str, ...]] = field(default_factory=dict)  # what each `where` function asks for

    def __post_init__(self) -> None:
        left, right = self.text.split("->")
        self.inputs, self.outputs = _parse_side(left), _parse_side(right)
        self.needs = {name: read(f).positional for name, f in self.where.items()}

    @property
    def broadcasts(self) -> bool:
        return any(p.run == "..." for p in self.inputs)

    def infer(
        self,
        name: str,
        ins: Sequence[Shape | None],
        outs: Sequence[Shape | None],
        active: Sequence[int],
        params: Mapping[str, Any],
    ) -> tuple[list[Shape | None], list[Shape | None]]:
        """The shapes of inputs and outputs, as far as they follow. `active[k]` says which pattern input k has.

        Raises ShapeError, naming the operator and the size in question.
        """
        sizes: dict[str, int] = {}
        runs: dict[str, Shape] = {}
        for key, value in params.items():
            if isinstance(
                value, tuple
            ):  # of an array that is made, 0 and -1 are sizes that the graph settles
                runs[key] = value if ins else tuple(0 if v == -1 else v for v in value)
            elif isinstance(value, int) and not isinstance(value, bool):
                sizes[key] = value
        places = [(self.inputs[min(k, len(self.inputs) - 1)], s) for k, s in zip(active, ins, strict=True)]
        places += [(self.outputs[min(i, len(self.outputs) - 1)], s) for i, s in enumerate(outs)]
        num_in = len(ins)
        before: object = None
        while before != (sizes, runs):
            before = (dict(sizes), dict(runs))
            for pattern, shape in places:
                if shape is not None:
                    self._match(name, pattern, shape, sizes, runs)
            self._compute(name, params, sizes, runs)
            self._broadcast(name, places[:num_in], sizes, runs)
        filled = [
            self._build(pattern, shape, sizes, runs, i >= num_in) for i, (pattern, shape) in enumerate(places)
        ]
        return filled[:num_in], filled[num_in:]

    def _match(
        self, op: str, pattern: _Pattern, shape: Shape, sizes: dict[str, int], runs: dict[str, Shape]
    ) -> None:
        head, tail = pattern.head, pattern.tail
        fixed = len(head) + len(tail)
        if len(shape) < fixed or (pattern.run is None and len(shape) != fixed):
            raise ShapeError(
                f"{op}: an array of shape {shape} where {pattern.text} is wanted, in {self.text}"
            )
        end = len(shape) - len(tail)
        for name, size in zip(head + tail, shape[: len(head)] + shape[end:], strict=True):
            if size:
                known = int(name) if name.isdigit() else sizes.setdefault(name, size)
                if known == 0:
                    sizes[name] = size
                elif known != size:
                    raise ShapeError(f"{op}: {name} is {known} and also {size} in {self.text}")
        if pattern.run is not None and pattern.run != "...":
            run = shape[len(head) : end]
            try:
                merged = merge_shapes(runs.get(pattern.run), run)
            except ShapeError as e:
                raise ShapeError(
                    f"{op}: {pattern.run} is {runs[pattern.run]} and also {run} in {self.text}"
                ) from e
            assert merged is not None
            runs[pattern.run] = merged

    def _compute(
        self, op: str, params: Mapping[str, Any], sizes: dict[str, int], runs: dict[str, Shape]
    ) -> None:
        for name, function in self.where.items():
            arguments = []
            waits = not hasattr(function, "takes_unknown_sizes")
            for need in self.needs[name]:
                value = runs.get(need, sizes.get(need)) if need not in params else params[need]
                if need not in params and (
                    value is None or (waits and (value == 0 or (isinstance(value, tuple) and 0 in value)))
                ):
                    break
                arguments.append(value)
            else:
                try:
                    value = function(*arguments)
                except ShapeError as e:
                    raise ShapeError(f"{op}: {e}") from e
                known = runs.get(name) if isinstance(value, tuple) else sizes.get(name)
                if isinstance(value, tuple):
                    try:
                        runs[name] = merge_shapes(runs.get(name), value) or value
                    except ShapeError as e:
                        raise ShapeError(
                            f"{op}: {name} is {known} and should be {value} in {self.text}"
                        ) from e
                else:
                    if known and known != value:
                        raise ShapeError(f"{op}: {name} is {known} and should be {value} in {self.text}")
                    sizes[name] = value

    def _broadcast(
        self,
        op: str,
        inputs: Sequence[tuple[_Pattern, Shape | None]],
        sizes: dict[str, int],
        runs: dict[str, Shape],
    ) -> None:
        parts: list[Shape] = []
        for pattern, shape in inputs:
            if pattern.run == "...":
                if shape is None:
                    return
                parts.append(shape[len(pattern.head) : len(shape) - len(pattern.tail)])
        if parts:
            try:
                runs["..."] = broadcast_shapes(parts)
            except ShapeError as e:
                raise ShapeError(f"{op}: {e}") from e

    def _build(
        self,
        pattern: _Pattern,
        shape: Shape | None,
        sizes: Mapping[str, int],
        runs: Mapping[str, Shape],
        is_output: bool,
    ) -> Shape | None:
        if pattern.run == "..." and not is_output:
            return shape
        if pattern.run is None:
            middle: Shape | None = ()
        elif shape is not None:
            middle = shape[len(pattern.head) : len(shape) - len(pattern.tail)]
            middle = merge_shapes(middle, runs.get(pattern.run)) if pattern.run != "..." else runs.get("...")
        else:
            middle = runs.get(pattern.run)
        if middle is None:
            return shape
        head = tuple(int(n) if n.isdigit() else sizes.get(n, 0) for n in pattern.head)
        tail = tuple(int(n) if n.isdigit() else sizes.get(n, 0) for n in pattern.tail)
        return head + middle + tail
