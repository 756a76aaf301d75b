"""Calling an operator on NDArrays: checking, running, recording. Every operator function of `nd` goes through
here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .. import profiler
from ..autograd import Node, anyone, state
from ..errors import GraphError, PSError, ShapeError
from ..ops.quiet import SILENT, enter, leave
from ..ops.registry import Op
from ..random import generator
from .array import NDArray

__all__ = ["function_of", "invoke", "split_arguments", "told"]

_checked: dict[Any, None] = {}  # calls whose shapes and dtypes fit; emptied when it grows
_MAX_CHECKED = 10_000
_PLAIN = (bool, int, float, str, tuple, type(None))


def _check(op: Op, arrays: Sequence[NDArray], params: Mapping[str, Any]) -> None:
    """Raise ShapeError unless shapes and dtypes fit the operator."""
    expected = len(op.active(params, len(arrays) if op.variadic else None))
    if len(arrays) != expected:
        wanted = op.active(params, expected)
        missing = f"; '{wanted[len(arrays)]}' is missing" if len(arrays) < expected else ""
        way_out = " (or say no_bias=True)" if missing and wanted[len(arrays)] == "bias" else ""
        raise ShapeError(
            f"{op.name}: {len(arrays)} arrays given; wanted {expected}: {', '.join(wanted)}{missing}{way_out}"
        )
    shapes = [a._data.shape for a in arrays]
    op.infer_shape(shapes, params)
    op.infer_type([a._data.dtype.name for a in arrays], params)


def invoke(
    op: Op,
    arrays: Sequence[NDArray],
    params: Mapping[str, Any],
    out: NDArray | Sequence[NDArray] | None = None,
    fitting: dict[Any, None] = _checked,
) -> Any:
    """Run `op`; a list of NDArrays if it has several visible outputs, else one. `out` is written and returned
    instead. `fitting` remembers which shapes and dtypes fit; a caller's own, for one `op` and `params`, is quicker.

    Raises ShapeError naming operator, argument, what was given and what was wanted.
    """
    for a in arrays:
        if type(a) is not NDArray:
            from . import sparse_rules

            found = sparse_rules.try_invoke(op, arrays, params, out)
            if found is not NotImplemented:
                return found
            break
    xs = [a._data for a in arrays]
    if len(xs) == 1:
        key: Any = (xs[0].shape, xs[0].dtype)
    else:
        key = (tuple([x.shape for x in xs]), tuple([x.dtype for x in xs]))
    try:
        if fitting is _checked:
            key = (op, key, tuple(params.values()))
        if key not in fitting:
            _check(op, arrays, params)
            if len(fitting) > _MAX_CHECKED:
                fitting.clear()
            fitting[key] = None
    except TypeError:  # an unhashable parameter: check every time
        _check(op, arrays, params)
    ctx = arrays[0]._ctx if arrays else _context_of(params)
    asks = op.asks
    start = profiler.now() if profiler.watching.imperative else 0.0
    token = enter(SILENT)
    try:
        if "is_train" in asks or "rng" in asks:
            result = op.kernel(*xs, **params, **_extra(asks, ctx))
        else:
            result = op.kernel(*xs, **params)
    except PSError:
        raise
    except (ValueError, TypeError, IndexError, ArithmeticError) as e:
        given = ", ".join(f"{x.dtype}{x.shape}" for x in xs)
        raise ShapeError(f"{op.name}({given}) with {dict(params)}: {e}") from e
    finally:
        leave(token)
    if start:
        profiler.record(op.name, "operator", start, profiler.now() - start)
    if type(result) is not tuple:
        y = NDArray(result, ctx)
        outputs, visible = [y], 1
    else:
        visible = op.num_visible(params)
        outputs = [NDArray(y, ctx) for y in result[:visible]]
    if anyone.recording and state.recording and op.gradient_kernel is not None:
        parents = [a._source for a in arrays]
        if any(parents):
            results = result if type(result) is tuple else (result,)
            node = Node(op, params, xs, results, parents, visible)
            for i, y in enumerate(outputs):
                y._source = (node, i)
    if out is not None:
        return _write(op, outputs, out)
    return outputs[0] if visible == 1 else outputs


def _extra(asks: frozenset[str], ctx: Any) -> dict[str, Any]:
    """What a kernel asks for besides arrays and parameters."""
    extra: dict[str, Any] = {}
    if "is_train" in asks:
        extra["is_train"] = state.training
    if "rng" in asks:
        extra["rng"] = generator(ctx)
    return extra


def _context_of(params: Mapping[str, Any]) -> Any:
    """The context that a creating operator was asked for as text, or the current one."""
    from ..context import Context, current_context

    text = params.get("ctx")
    if not text:
        return current_context()
    kind, _, number = text.partition("(")
    return Context(kind, int(number.rstrip(")") or 0))


def _write(op: Op, outputs: Sequence[NDArray], out: NDArray | Sequence[NDArray]) -> Any:
    targets = [out] if isinstance(out, NDArray) else list(out)
    for target, y in zip(targets, outputs, strict=False):
        if target.shape != y._data.shape:
            raise ShapeError(f"{op.name}: out has shape {target.shape}, the result {y._data.shape}")
        if state.recording and target._source is not None:
            raise GraphError(
                "Inplace operations (+=, -=, x[:]=, etc) are not supported when recording with autograd: "
                f"{op.name} would write into an array that is part of the recorded graph"
            )
        target._assign(y)
        target._source = y._source
    return out


_WANTED = {
    "NDArray": "an NDArray; mx.nd.array(...) makes one",
    "Symbol": "a Symbol; mx.sym.Variable(name) stands for an array",
}


def told(value: Any) -> str:
    """What was given, in a few words: an array by its kind and shape."""
    if isinstance(value, np.ndarray | NDArray):
        return f"a {type(value).__module__.partition('.')[0]} array of shape {value.shape}"
    text = repr(value)
    return text if len(text) < 80 else f"a {type(value).__name__}"


def split_arguments(
    op: Op, args: Sequence[Any], kwargs: dict[str, Any], kind: type
) -> tuple[dict[str, Any] | list[Any], dict[str, Any]]:
    """The arrays (by name; a list for a variadic operator) and the parameters of a call.

    Arrays come first by position, then parameters in their order; both also by name. `kind` is what an array
    is here.
    """
    params = {k: v for k, v in kwargs.items() if k not in op.inputs}
    if op.variadic:
        flat = list(args[0]) if len(args) == 1 and isinstance(args[0], list | tuple) else list(args)
        arrays = [a for a in flat if isinstance(a, kind)]
        for name, value in zip(op.params, flat[len(arrays) :], strict=False):
            params[name] = value
        return arrays, params
    named: dict[str, Any] = {k: v for k, v in kwargs.items() if k in op.inputs and v is not None}
    order = iter(op.params)
    slots = list(op.inputs)
    for value in args:
        if slots and (value is None or isinstance(value, kind)):
            name = slots.pop(0)
            if value is not None:
                if name in named:
                    raise GraphError(f"{op.name}: the array '{name}' is given twice")
                named[name] = value
            continue
        if any(name not in op.optional and name not in named for name in slots):
            raise GraphError(f"{op.name}: '{slots[0]}' is {told(value)}; wanted {_WANTED[kind.__name__]}")
        slots = []
        name = next(order, "")
        if not name:
            raise GraphError(f"{op.name}: too many arguments; it takes {', '.join((*op.inputs, *op.params))}")
        if name in params:
            raise GraphError(f"{op.name}: the parameter '{name}' is given twice")
        params[name] = value
    return named, params


def function_of(op: Op, known_as: str) -> Callable[..., Any]:
    """The function that `nd` shows for an operator."""

    known: dict[Any, tuple[dict[str, Any], dict[Any, None]]] = {}  # arrays, parameters -> parsed, what fits

    family = type(op).specialise is not Op.specialise  # each call has an operator of its own

    def call(*args: Any, out: Any = None, name: str | None = None, **kwargs: Any) -> Any:
        if out is None and args:
            for a in args:
                if type(a) is not NDArray:
                    break
            else:  # arrays by position, parameters by name: as often before, most likely
                try:
                    found = known.get((len(args), *kwargs.items()))
                except TypeError:
                    found = None
                if found is not None:
                    return invoke(op, args, found[0], None, found[1])
        result = carefully(args, out, kwargs)
        is_plain = all(type(a) is NDArray for a in args) and all(type(v) in _PLAIN for v in kwargs.values())
        if not family and is_plain and out is None and args and len(known) < _MAX_CHECKED:
            parsed = op.parse({k: v for k, v in kwargs.items() if k not in op.inputs})
            if op.variadic or len(op.active(parsed)) == len(args):
                known[len(args), *kwargs.items()] = (parsed, {})
        return result

    def carefully(args: tuple[Any, ...], out: Any, kwargs: dict[str, Any]) -> Any:
        if "ctx" in kwargs:
            kwargs["ctx"] = str(kwargs["ctx"])
        row = op.specialise(kwargs)
        given, params = split_arguments(row, args, kwargs, NDArray)
        parsed = row.parse(params)
        if isinstance(given, list):
            return invoke(row, given, parsed, out)
        for key, value in given.items():
            if not isinstance(value, NDArray):
                raise GraphError(f"{op.name}: '{key}' is {told(value)}; wanted {_WANTED['NDArray']}")
        wanted = row.active(parsed)
        missing = [n for n in wanted if n not in given and n not in row.optional]
        if missing:
            raise GraphError(f"{op.name}: the array '{missing[0]}' is missing; it takes {', '.join(wanted)}")
        return invoke(row, [given[n] for n in wanted if n in given], parsed, out)

    call.__name__ = call.__qualname__ = known_as
    call.__doc__ = op.manual()
    call.__module__ = "psdist.ndarray"
    call.__signature__ = signature_of(op)  # type: ignore[attr-defined]
    return call


def signature_of(op: Op) -> inspect.Signature:
    """Arrays, parameters, out and name, as `help` shows them."""
    kinds = inspect.Parameter
    arrays = [
        kinds(n, kinds.VAR_POSITIONAL) if op.variadic else kinds(n, kinds.POSITIONAL_OR_KEYWORD, default=None)
        for n in op.inputs[-1 if op.variadic else 0 :]
    ]
    rest = [
        kinds(p.name, kinds.KEYWORD_ONLY, default=p.default) for p in op.params.values() if p.name != "name"
    ]
    rest += [kinds(n, kinds.KEYWORD_ONLY, default=None) for n in ("out", "name") if n not in op.params]
    return inspect.Signature([*arrays, *rest])
