"""Checking operators and graphs: results, gradients against numeric ones, one device or dtype against another."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .. import symbol as sym_module
from ..context import Context
from ..executor import Executor
from ..ndarray.array import NDArray, array, zeros
from ..symbol import Symbol
from .compare import (
    assert_almost_equal,
    compare_ndarray_tuple,
    default_atols,
    default_numeric_eps,
    default_rtols,
    get_tolerance,
)
from .draw import rand_ndarray
from .settings import default_context

__all__ = [
    "check_consistency",
    "check_numeric_gradient",
    "check_speed",
    "check_symbolic_backward",
    "check_symbolic_forward",
    "compare_optimizer",
    "numeric_grad",
    "simple_forward",
]


def _parse_location(sym: Symbol, location: Any, ctx: Context, dtype: Any = np.float32) -> dict[str, NDArray]:
    """The arguments by name, as NDArrays."""
    names = sym.list_arguments()
    if isinstance(location, Mapping):
        if set(location) != set(names):
            raise ValueError(
                f"location has {', '.join(sorted(location))}; the symbol's arguments are {', '.join(names)}"
            )
        given = {n: location[n] for n in names}
    else:
        given = dict(zip(names, location, strict=False))
    return {n: _array(v, ctx, dtype) for n, v in given.items()}


def _parse_aux_states(
    sym: Symbol, aux_states: Any, ctx: Context, dtype: Any = np.float32
) -> dict[str, NDArray] | None:
    """The auxiliary states by name, as NDArrays."""
    if aux_states is None:
        return None
    names = sym.list_auxiliary_states()
    if isinstance(aux_states, Mapping):
        if set(aux_states) != set(names):
            raise ValueError(
                f"aux_states has {', '.join(sorted(aux_states))}; the symbol's are {', '.join(names)}"
            )
        given = {n: aux_states[n] for n in names}
    else:
        given = dict(zip(names, aux_states, strict=True))
    return {n: _array(v, ctx, dtype) for n, v in given.items()}


def _array(x: Any, ctx: Context, dtype: Any) -> NDArray:
    """`x` as an NDArray; numbers become `dtype`, or keep their own where it is the word "asnumpy"."""
    if isinstance(x, NDArray):
        return x if x.context == ctx else x.copyto(ctx)
    value = np.asarray(x)
    keep = dtype == "asnumpy" or value.dtype.kind not in "fiu"
    return array(value, ctx, value.dtype if keep else dtype)


def simple_forward(sym: Symbol, ctx: Context | None = None, is_train: bool = False, **inputs: Any) -> Any:
    """The outputs as NumPy arrays (one, or a list) for inputs given by name."""
    ctx = ctx or default_context()
    outputs = sym.bind(ctx, {n: array(v) for n, v in inputs.items()}).forward(is_train=is_train)
    found = [y.asnumpy() for y in outputs]
    return found[0] if len(found) == 1 else found


def check_symbolic_forward(
    sym: Symbol,
    location: Any,
    expected: Any,
    rtol: Any = None,
    atol: Any = None,
    aux_states: Any = None,
    ctx: Context | None = None,
    equal_nan: bool = False,
    dtype: Any = np.float32,
) -> list[NDArray]:
    """Raise AssertionError unless the outputs are as `expected` (a list, or a dict by output's name)."""
    ctx = ctx or default_context()
    args = _parse_location(sym, location, ctx, dtype)
    names = sym.list_outputs()
    wanted = [expected[n] for n in names] if isinstance(expected, Mapping) else expected
    grads = {n: zeros(v.shape, ctx, v.dtype) for n, v in args.items()}
    ex = sym.bind(ctx, args, grads, "write", _parse_aux_states(sym, aux_states, ctx, dtype))
    outputs = ex.forward(is_train=False)
    for name, want, found in zip(names, wanted, outputs, strict=True):
        assert_almost_equal(
            want, found, rtol, atol, (f"EXPECTED_{name}", f"FORWARD_{name}"), equal_nan=equal_nan
        )
    return ex.outputs


def check_symbolic_backward(
    sym: Symbol,
    location: Any,
    out_grads: Any,
    expected: Any,
    rtol: Any = None,
    atol: Any = None,
    aux_states: Any = None,
    grad_req: Any = "write",
    ctx: Context | None = None,
    grad_stypes: Mapping[str, str] | None = None,
    equal_nan: bool = False,
    dtype: Any = np.float32,
) -> dict[str, NDArray | None]:
    """Raise AssertionError unless the arguments' gradients are as `expected`, for the gradients `out_grads` of the
    outputs.

    With `grad_req` `add` they are added to random numbers, with `null` these must stay.
    """
    ctx = ctx or default_context()
    args = _parse_location(sym, location, ctx, dtype)
    names = sym.list_arguments()
    if not isinstance(expected, Mapping):
        expected = dict(zip(names, expected, strict=True))
    before = {n: np.random.normal(size=args[n].shape).astype(args[n].dtype) for n in expected}
    grads: dict[str, NDArray] = {n: array(v, ctx, v.dtype) for n, v in before.items()}
    for n, stype in (grad_stypes or {}).items():
        if n in grads and stype is not None:
            grads[n] = grads[n].tostype(stype)
    if isinstance(grad_req, str):
        reqs = dict.fromkeys(names, grad_req)
    elif isinstance(grad_req, Mapping):
        reqs = {n: grad_req.get(n, "null") for n in names}
    else:
        reqs = dict(zip(names, grad_req, strict=True))
    reqs = {n: r if n in grads else "null" for n, r in reqs.items()}
    ex = sym.bind(ctx, args, grads, reqs, _parse_aux_states(sym, aux_states, ctx, dtype))
    ex.forward(is_train=True)
    heads: Any = out_grads
    if isinstance(out_grads, Mapping):
        heads = [_array(out_grads[n], ctx, dtype) for n in sym.list_outputs()]
    elif isinstance(out_grads, list | tuple):
        heads = [_array(g, ctx, dtype) for g in out_grads]
    elif out_grads is not None:
        heads = [_array(out_grads, ctx, dtype)]
    ex.backward(heads)
    for name, want in expected.items():
        found = grads[name].asnumpy()
        labels = (f"EXPECTED_{name}", f"BACKWARD_{name}")
        if reqs[name] == "write":
            assert_almost_equal(want, found, rtol, atol, labels, equal_nan=equal_nan)
        elif reqs[name] == "add":
            assert_almost_equal(want, found - before[name], rtol, atol, labels, equal_nan=equal_nan)
        else:
            assert_almost_equal(before[name], found, rtol, atol, labels, equal_nan=equal_nan)
    return ex.grad_dict


def numeric_grad(
    executor: Executor,
    location: Mapping[str, Any],
    aux_states: Mapping[str, Any] | None = None,
    eps: float = 1e-4,
    use_forward_train: bool = True,
    dtype: Any = np.float32,
) -> dict[str, Any]:
    """The gradients of the (single) output's sum by central differences: (f(x + eps/2) - f(x - eps/2)) / eps.

    The difference is taken element by element, before the sum: elements that do not depend on what was moved cancel
    exactly, and a large sum does not round the difference away.
    """

    def value() -> Any:
        if aux_states is not None:
            for name, state in aux_states.items():
                executor.aux_dict[name][:] = state
        executor.forward(is_train=use_forward_train)
        return executor.outputs[0].asnumpy().astype(np.float64)

    for name, x in location.items():
        executor.arg_dict[name][:] = x
    found = {}
    for name in location:
        target = executor.arg_dict[name]
        if target.stype != "default":
            target = executor.arg_dict[name]
        x = target.asnumpy().astype(np.float64)
        grad = np.zeros(x.shape, dtype)
        if np.dtype(target.dtype).kind != "f":
            continue
        for i in range(x.size):
            at = np.unravel_index(i, x.shape)
            sides = []
            for step in (eps / 2, -eps / 2):
                moved = x.copy()
                moved[at] += step
                target[:] = moved.astype(target.dtype)
                sides.append(value())
            grad[at] = (sides[0] - sides[1]).sum() / eps
        target[:] = x.astype(target.dtype)
        found[name] = grad
    return found


def check_numeric_gradient(
    sym: Symbol,
    location: Any,
    aux_states: Any = None,
    numeric_eps: Any = None,
    rtol: Any = None,
    atol: Any = None,
    grad_nodes: Any = None,
    use_forward_train: bool = True,
    ctx: Context | None = None,
    grad_stype_dict: Mapping[str, str] | None = None,
    dtype: Any = np.float32,
) -> None:
    """Raise AssertionError unless the gradients are those of numeric differentiation.

    The outputs are multiplied with random numbers and summed, so that every output counts. `grad_nodes` names the
    arguments to check (by default all), or gives each one's grad_req.
    """
    ctx = ctx or default_context()
    eps = get_tolerance(np.dtype(dtype), numeric_eps, default_numeric_eps())
    args = _parse_location(sym, location, ctx, dtype)
    states = _parse_aux_states(sym, aux_states, ctx, dtype)
    names = sym.list_arguments()
    if grad_nodes is None:
        reqs = dict.fromkeys(names, "write")
    elif isinstance(grad_nodes, Mapping):
        reqs = dict(grad_nodes)
    else:
        reqs = dict.fromkeys(grad_nodes, "write")
    wanted = [n for n in reqs if reqs[n] != "null"]
    shapes = {n: v.shape for n, v in args.items()}
    out_shape = sym.infer_shape(**shapes)[1][0]
    projection = np.random.rand(*out_shape).astype(dtype) + np.asarray(0.1, dtype)
    whole = sym_module.MakeLoss(sym * sym_module.var("__random_proj"))
    args = {**{n: v.copy() for n, v in args.items()}, "__random_proj": array(projection, ctx, dtype)}
    before = {n: np.random.normal(0, 0.01, size=args[n].shape).astype(args[n].dtype) for n in wanted}
    grads: dict[str, NDArray] = {n: array(v, ctx, v.dtype) for n, v in before.items()}
    for n, stype in (grad_stype_dict or {}).items():
        if n in grads and stype != "default":
            grads[n] = grads[n].tostype(stype)
    all_reqs = {n: reqs.get(n, "null") for n in args}
    ex = whole.bind(
        ctx, args, grads, all_reqs, None if states is None else {n: s.copy() for n, s in states.items()}
    )
    ex.forward(is_train=True)
    ex.backward()
    found = {n: grads[n].asnumpy() for n in wanted}
    numeric = numeric_grad(
        ex,
        {n: args[n].asnumpy() for n in wanted},
        None if states is None else {n: s.asnumpy() for n, s in states.items()},
        eps,
        use_forward_train,
        dtype,
    )
    for name in wanted:
        if name not in numeric:
            continue
        back = found[name] - before[name] if reqs[name] == "add" else found[name]
        assert_almost_equal(numeric[name], back, rtol, atol, (f"NUMERICAL_{name}", f"BACKWARD_{name}"))


def check_consistency(
    sym: Any,
    ctx_list: Sequence[Mapping[str, Any]],
    scale: float = 1.0,
    grad_req: Any = "write",
    arg_params: Mapping[str, Any] | None = None,
    aux_params: Mapping[str, Any] | None = None,
    rtol: Any = None,
    atol: Any = None,
    raise_on_err: bool = True,
    ground_truth: Mapping[str, Any] | None = None,
    equal_nan: bool = False,
    use_uniform: bool = False,
    rand_type: Any = np.float64,
) -> Any:
    """Raise AssertionError unless a symbol gives the same outputs and gradients in every setting of `ctx_list`, such
    as `{"ctx": mx.cpu(), "data": (2, 3), "type_dict": {"data": np.float64}}`.

    The setting of the finest dtype is the truth; the tolerance is that of the coarser dtype.
    """
    symbols = list(sym) if isinstance(sym, list | tuple) else [sym] * len(ctx_list)
    if len(symbols) != len(ctx_list) or len(ctx_list) < 2:
        raise ValueError(
            f"check_consistency: {len(symbols)} symbols for {len(ctx_list)} settings; wanted 2 at least"
        )
    executors = [s.simple_bind(grad_req=grad_req, **c) for s, c in zip(symbols, ctx_list, strict=True)]
    args = dict(arg_params or {})
    for name, x in executors[0].arg_dict.items():
        if name not in args:
            drawn = np.random.uniform(-1, 1, x.shape) if use_uniform else np.random.normal(size=x.shape)
            args[name] = (drawn * scale).astype(rand_type)
    states = dict(aux_params or {})
    for name, x in executors[0].aux_dict.items():
        states.setdefault(name, 0 * x.asnumpy())
    heads: list[Any] | None = None
    results: list[dict[str, Any]] = []
    for ex in executors:
        for name, x in ex.arg_dict.items():
            x[:] = _number(args[name])
        for name, x in ex.aux_dict.items():
            x[:] = _number(states[name])
        outputs = ex.forward(is_train=grad_req != "null")
        found = {n: y.asnumpy() for n, y in zip(ex._symbol.list_outputs(), outputs, strict=True)}
        if grad_req != "null":
            if heads is None:
                heads = [np.random.normal(size=y.shape) for y in outputs]
            ex.backward([array(g, y.context, y.dtype) for g, y in zip(heads, outputs, strict=True)])
            found.update({f"gradient of {n}": g.asnumpy() for n, g in ex.grad_dict.items() if g is not None})
        results.append(found)
    sizes = [max(np.dtype(y.dtype).itemsize for y in ex.outputs) for ex in executors]
    finest = int(np.argmax(sizes))
    truth: Mapping[str, Any] = ground_truth or results[finest]
    for i, found in enumerate(results):
        if i == finest and ground_truth is None:
            continue
        for (name, x), y in zip(found.items(), truth.values(), strict=True):
            coarse = min((np.dtype(x.dtype), np.dtype(y.dtype)), key=lambda t: t.itemsize)
            tols = (
                get_tolerance(coarse, rtol, default_rtols()),
                get_tolerance(coarse, atol, default_atols()),
            )
            try:
                assert_almost_equal(x, y, *tols, (f"{name} in {ctx_list[i]}", "truth"), equal_nan=equal_nan)
            except AssertionError:
                if raise_on_err:
                    raise
    return truth


def _number(x: Any) -> Any:
    return x.asnumpy() if isinstance(x, NDArray) else np.asarray(x)


def check_speed(
    sym: Symbol,
    location: Any = None,
    ctx: Context | None = None,
    N: int = 20,
    grad_req: str | None = None,
    typ: str = "whole",
    **kwargs: Any,
) -> float:
    """Seconds that a forward pass takes (`typ` `forward`), or one with its backward (`whole`)."""
    ctx = ctx or default_context()
    if location is None:
        ex = sym.simple_bind(ctx, grad_req=grad_req or "write", **kwargs)
        location = {n: np.random.normal(size=x.shape) for n, x in ex.arg_dict.items()}
    else:
        ex = sym.simple_bind(ctx, grad_req=grad_req or "write", **{n: x.shape for n, x in location.items()})
    for name, x in location.items():
        ex.arg_dict[name][:] = _number(x)
    if typ not in ("whole", "forward"):
        raise ValueError(f"check_speed: typ is {typ!r}; wanted 'whole' or 'forward'")

    def once() -> None:
        ex.forward(is_train=typ == "whole")
        if typ == "whole":
            ex.backward(ex.outputs)

    once()
    start = time.perf_counter()
    for _ in range(N):
        once()
    return (time.perf_counter() - start) / N


def compare_optimizer(
    opt1: Any,
    opt2: Any,
    shape: Any,
    dtype: Any,
    w_stype: str = "default",
    g_stype: str = "default",
    rtol: Any = 1e-4,
    atol: Any = 1e-5,
    compare_states: bool = True,
    ntensors: int = 1,
) -> None:
    """Raise AssertionError unless two optimizers take the same step from the same weight, state and gradient."""
    shapes = [shape] if ntensors == 1 else list(shape)
    for k, s in enumerate(shapes):
        w1 = rand_ndarray(s, w_stype, density=1, dtype=dtype)
        g1 = rand_ndarray(s, g_stype, density=1 if g_stype == "default" else 0.5, dtype=dtype)
        w2, g2 = w1.copy(), g1.copy()
        states = [o.create_state_multi_precision(k, w) for o, w in ((opt1, w1), (opt2, w2))]
        if compare_states:
            compare_ndarray_tuple(states[0], states[1])
        opt1.update_multi_precision(k, w1, g1, states[0])
        opt2.update_multi_precision(k, w2, g2, states[1])
        if compare_states:
            compare_ndarray_tuple(states[0], states[1], rtol=rtol, atol=atol)
        assert_almost_equal(w1.asnumpy(), w2.asnumpy(), rtol=rtol, atol=atol)
