"""How operators treat sparse arrays: the rules for those that keep arrays sparse, and lazy optimizer steps.

An operator that has no rule here runs on the dense array, and so does every operator through which a gradient
passes, except `dot` and `Embedding`, whose gradients are row-sparse themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .. import ops
from ..autograd import Node, state
from ..errors import ShapeError
from ..ops import sparse as values
from ..ops.registry import Op
from ..ops.sparse import CSR, RowSparse
from .array import NDArray
from .invoke import invoke
from .sparse_arrays import wrap
from .sparse_making import zeros

__all__ = ["try_invoke"]

Array = np.ndarray[Any, Any]
Rule = Callable[[Op, Sequence[NDArray], Mapping[str, Any]], Any]
_rules: dict[str, Rule] = {}


def _rule(*names: str) -> Callable[[Rule], Rule]:
    """Enter a rule for operators: it returns a record or a NumPy array, or None if the operator must run dense."""

    def enter(function: Rule) -> Rule:
        for name in names:
            found = ops.find(name)
            if found is not None:
                _rules[found.name] = function
        return function

    return enter


def try_invoke(op: Op, arrays: Sequence[NDArray], params: Mapping[str, Any], out: Any = None) -> Any:
    """The operator's result by a rule that keeps arrays sparse, or NotImplemented if there is none."""
    if "grad" in op.inputs and op.name.endswith("_update"):
        return _lazy_update(op, arrays, params, out)
    rule = _rules.get(op.name)
    if rule is None:
        return _dense_update(op, arrays, params, out) if op.mutates else NotImplemented
    recorded = state.recording and any(a._source is not None for a in arrays)
    if recorded and op.name not in _RECORDED:
        return NotImplemented
    with ops.silent():
        result = rule(op, arrays, params)
    if result is None:
        return NotImplemented
    y = wrap(result, arrays[0]._ctx)
    if recorded:
        node = Node(_RECORDED[op.name], params, list(arrays), [None], [a._source for a in arrays], 1)  # type: ignore[arg-type]
        y._source = (node, 0)
    if out is None:
        return y
    target = out[0] if isinstance(out, list | tuple) else out
    target._assign(y)
    target._source = y._source
    return out


# f(0) = 0, so that f of what is stored is the whole result
_ZERO_TO_ZERO = """
abs arcsin arcsinh arctan arctanh BlockGrad cbrt ceil degrees expm1 fix floor identity log1p make_loss negative radians
relu rint round sign sin sinh sqrt square tan tanh trunc _contrib_round_ste _contrib_sign_ste
""".split()


@_rule(*_ZERO_TO_ZERO, "_mul_scalar", "_div_scalar", "Cast", "_copy")
def _on_stored(op: Op, arrays: Sequence[NDArray], params: Mapping[str, Any]) -> Any:
    (x,) = arrays
    return x._held.with_data(op.kernel(x._held.data, **params))


@_rule(
    "_plus_scalar",
    "_minus_scalar",
    "_equal_scalar",
    "_not_equal_scalar",
    "_greater_scalar",
    "_greater_equal_scalar",
    "_lesser_scalar",
    "_lesser_equal_scalar",
    "clip",
)
def _on_stored_if_zero_stays(op: Op, arrays: Sequence[NDArray], params: Mapping[str, Any]) -> Any:
    (x,) = arrays
    if op.kernel(np.zeros(1, x.dtype), **params)[0] != 0:
        return None
    return x._held.with_data(op.kernel(x._held.data, **params))


@_rule("zeros_like")
def _zeros_like(op: Op, arrays: Sequence[NDArray], params: Mapping[str, Any]) -> Any:
    return zeros(arrays[0].stype, arrays[0].shape, None, arrays[0].dtype)._held


@_rule("elemwise_add", "elemwise_sub", "_grad_add")
def _sum(op: Op, arrays: Sequence[NDArray], params: Mapping[str, Any]) -> Any:
    x, y = arrays
    if x.stype != y.stype:
        return None
    return values.combine(x._held, y._held, -1 if op.name == "elemwise_sub" else 1)


@_rule("_maximum", "_minimum", "_hypot")
def _of_both(op: Op, arrays: Sequence[NDArray], params: Mapping[str, Any]) -> Any:
    x, y = arrays
    return values.together(op.kernel, x._held, y._held) if x.stype == y.stype else None


@_rule("_scatter_plus_scalar", "_scatter_minus_scalar")
def _on_stored_alone(op: Op, arrays: Sequence[NDArray], params: Mapping[str, Any]) -> Any:
    (x,) = arrays
    return x._held.with_data(op.kernel(x._held.data, **params))


@_rule("_scatter_elemwise_div")
def _divided(op: Op, arrays: Sequence[NDArray], params: Mapping[str, Any]) -> Any:
    x, y = arrays
    if x.stype != "row_sparse" or y.stype == "csr":
        return None
    below = y._held.rows(x._held.indices) if y.stype == "row_sparse" else values.at_places(x._held, y._data)
    return x._held.with_data(op.kernel(x._held.data, below))


@_rule("_square_sum")
def _square_sums(op: Op, arrays: Sequence[NDArray], params: Mapping[str, Any]) -> Any:
    (x,) = arrays
    held, axis = x._held, params.get("axis")
    if (
        x.stype != "row_sparse"
        or axis not in (1, (1,))
        or not params.get("keepdims")
        or params.get("exclude")
    ):
        return None
    rows = op.kernel(held.data, **params)
    return RowSparse(rows, held.indices, (x.shape[0], *rows.shape[1:]))


@_rule("add_n")
def _sum_of_all(op: Op, arrays: Sequence[NDArray], params: Mapping[str, Any]) -> Any:
    if any(a.stype != "row_sparse" for a in arrays):
        return None
    held = [a._held for a in arrays]
    data, rows = np.concatenate([h.data for h in held]), np.concatenate([h.indices for h in held])
    return RowSparse.gathered(data, rows, held[0].shape)


@_rule("elemwise_mul")
def _product(op: Op, arrays: Sequence[NDArray], params: Mapping[str, Any]) -> Any:
    x, y = arrays
    if x.stype == y.stype:
        return values.multiply(x._held, y._held)
    if "default" not in (x.stype, y.stype):
        return None
    held, dense = (y._held, x) if x.stype == "default" else (x._held, y)
    return held.with_data(held.data * values.at_places(held, dense._data))


@_rule("broadcast_mul", "broadcast_div")
def _scaled(op: Op, arrays: Sequence[NDArray], params: Mapping[str, Any]) -> Any:
    x, y = arrays
    if x.stype != "csr" or y.stype != "default" or np.broadcast_shapes(x.shape, y.shape) != x.shape:
        return None
    places = values.at_places(x._held, y._data)
    return x._held.with_data(op.kernel(x._held.data, places))


@_rule("sum", "mean")
def _reduced(op: Op, arrays: Sequence[NDArray], params: Mapping[str, Any]) -> Any:
    (x,) = arrays
    axis = params.get("axis")
    axis = axis if isinstance(axis, int) else axis[0] if axis and len(axis) == 1 else None
    if x.stype != "csr" or axis is None or params.get("exclude"):
        return None
    total = values.sums(x._held, axis % 2)
    if op.name == "mean":
        total = total / x.dtype(x.shape[axis])
    return np.expand_dims(total, axis) if params.get("keepdims") else total


@_rule("norm")
def _norm(op: Op, arrays: Sequence[NDArray], params: Mapping[str, Any]) -> Any:
    (x,) = arrays
    if params.get("axis") is not None or params.get("ord", 2) != 2 or params.get("keepdims"):
        return None
    flat = x._held.data.reshape(-1)
    return np.sqrt(np.dot(flat, flat)).astype(flat.dtype).reshape(1)


@_rule("slice")
def _sliced(op: Op, arrays: Sequence[NDArray], params: Mapping[str, Any]) -> Any:
    (x,) = arrays
    step = params.get("step") or ()
    if x.stype != "csr" or any(s not in (None, 1) for s in step):
        return None
    keys = [slice(b, e).indices(n) for b, e, n in zip(params["begin"], params["end"], x.shape, strict=False)]
    held: CSR = x._held.slice(keys[0][0], max(keys[0][:2]))
    return held.columns(keys[1][0], keys[1][1]) if len(keys) > 1 else held


@_rule("take")
def _taken(op: Op, arrays: Sequence[NDArray], params: Mapping[str, Any]) -> Any:
    x, at = arrays
    if x.stype != "csr" or at.stype != "default" or params["axis"] != 0 or at.ndim != 1:
        return None
    return x._held.take(ops.indexing.positions(at._data, x.shape[0], params["mode"]))


@_rule("Concat")
def _joined(op: Op, arrays: Sequence[NDArray], params: Mapping[str, Any]) -> Any:
    if params["dim"] != 0 or any(a.stype != "csr" for a in arrays):
        return None
    held = [a._held for a in arrays]
    if len({h.shape[1] for h in held}) != 1:
        raise ShapeError(f"Concat: csr arrays of shapes {', '.join(str(h.shape) for h in held)} along axis 0")
    indptr, base = [np.zeros(1, np.int64)], 0
    for h in held:
        indptr.append(h.indptr[1:] + base)
        base += int(h.indptr[-1])
    return CSR(
        np.concatenate([h.data for h in held]),
        np.concatenate(indptr),
        np.concatenate([h.indices for h in held]),
        (sum(h.shape[0] for h in held), held[0].shape[1]),
    )


@_rule("dot")
def _dot(op: Op, arrays: Sequence[NDArray], params: Mapping[str, Any]) -> Any:
    x, y = arrays
    left, right = bool(params["transpose_a"]), bool(params["transpose_b"])
    if x.ndim != 2 or y.ndim > 2:
        return None
    if y.stype != "csr":
        rows, columns = (x.shape[1], x.shape[0]) if left else x.shape
        inner = y.shape[1] if right and y.ndim == 2 else y.shape[0]
        if columns != inner:
            raise ShapeError(f"dot: {x.shape}{'ᵀ' * left} and {y.shape}{'ᵀ' * right} do not fit")
        del rows
    if x.stype == "csr" and y.stype != "csr":
        dense = y._data
        if right:
            dense = dense.T
        held: CSR = x._held
        if not left:
            return values.product(held, dense)
        found = values.transposed_product(held, dense)
        return found.dense() if params.get("forward_stype") == "default" or y.ndim == 1 else found
    if x.stype == "default" and y.stype == "csr" and y.ndim == 2:
        other: CSR = y._held
        a = x._data.T if left else x._data
        if a.shape[1] != other.shape[1 if right else 0]:
            raise ShapeError(f"dot: {x.shape}{'ᵀ' * left} and {y.shape}{'ᵀ' * right} do not fit")
        found_dense = (
            values.product(other, a.T).T if right else values.transposed_product(other, a.T).dense().T
        )
        if params.get("forward_stype") == "default":
            return np.ascontiguousarray(found_dense)
        return CSR.of(np.ascontiguousarray(found_dense))
    return None


class _DotGradient:
    """The gradients of dot(csr, dense): row-sparse for the dense operand, dense for the other."""

    def backward(
        self,
        heads: Sequence[Array],
        outputs: Sequence[Any],
        inputs: Sequence[Any],
        params: Any,
        needs: tuple[bool, ...],
        is_train: bool = True,
    ) -> list[Any]:
        x, y = inputs
        left, right = bool(params["transpose_a"]), bool(params["transpose_b"])
        grads: list[Any] = [None, None]
        if needs[1] and x.stype == "csr" and not right:
            g = heads[0]
            grads[1] = values.product(x._held, g) if left else values.transposed_product(x._held, g)
            needs = (needs[0], False)
        if any(needs):
            dense = ops.get("dot").backward(heads, outputs, [x._data, y._data], params, needs)
            grads = [g if n else old for g, n, old in zip(dense, needs, grads, strict=True)]
        return grads


@_rule("Embedding")
def _looked_up(op: Op, arrays: Sequence[NDArray], params: Mapping[str, Any]) -> Any:
    at, weight = arrays
    if at.stype != "default":
        return None
    rows = ops.indexing.positions(at._data, params["input_dim"], "clip")
    if weight.stype == "row_sparse":
        found = weight._held.rows(rows.reshape(-1))
        return found.reshape(*at.shape, *weight.shape[1:])
    return weight._data[rows]


class _EmbeddingGradient:
    """The gradient of the rows that were looked up."""

    def backward(
        self,
        heads: Sequence[Array],
        outputs: Sequence[Any],
        inputs: Sequence[Any],
        params: Any,
        needs: tuple[bool, ...],
        is_train: bool = True,
    ) -> list[Any]:
        at, weight = inputs
        rows = ops.indexing.positions(at._data, params["input_dim"], "clip").reshape(-1)
        g = heads[0].reshape(len(rows), *weight.shape[1:])
        return [None, RowSparse.gathered(g, rows, weight.shape) if needs[1] else None]


_RECORDED = {"dot": _DotGradient(), "Embedding": _EmbeddingGradient()}


@_rule("_sparse_retain")
def _retained(op: Op, arrays: Sequence[NDArray], params: Mapping[str, Any]) -> Any:
    x, at = arrays
    return x._held.retain(at._data) if x.stype == "row_sparse" else None


def _lazy_update(op: Op, arrays: Sequence[NDArray], params: Mapping[str, Any], out: Any) -> Any:
    """An optimizer's step with a row-sparse gradient: only the gradient's rows of weight and states change."""
    named = dict(zip(op.inputs, arrays, strict=False))
    grad = named["grad"]
    lazy = bool(
        params.get("lazy_update", named["weight"].stype == "row_sparse" or op.name.startswith("_sparse"))
    )
    if grad.stype != "row_sparse" or not lazy:
        return _dense_update(op, arrays, params, out)
    held: RowSparse = grad._held
    rows = held.indices
    parts = []
    for x in arrays:
        if x is grad:
            parts.append(held.data)
        elif x.shape != grad.shape:
            parts.append(x._data)
        elif x.stype == "row_sparse":
            parts.append(x._held.rows(rows))
        else:
            parts.append(x._data[rows])
    result = op.kernel(*parts, **params)
    new = result[0] if isinstance(result, tuple) else result
    weight = named["weight"]
    target = weight if out is None else out[0] if isinstance(out, list | tuple) else out
    if target is not weight:
        target = weight.copy() if out is None else weight.copyto(target)
    elif out is None:
        target = weight.copy()
    _put_rows(target, rows, new)
    for name, x, part in zip(op.inputs, arrays, parts, strict=False):
        if name in op.mutates and x.shape == grad.shape:
            _put_rows(x, rows, part)
    return target if out is None else out


def _dense_update(op: Op, arrays: Sequence[NDArray], params: Mapping[str, Any], out: Any) -> Any:
    """The operator on dense copies, put back into the sparse arrays that it changes."""
    dense = []
    for a in arrays:
        d = NDArray(a.asnumpy(), a._ctx) if a.stype != "default" else a
        d._source = a._source
        dense.append(d)
    target = out[0] if isinstance(out, list | tuple) else out
    made = invoke(op, dense, params)
    for name, x, d in zip(op.inputs, arrays, dense, strict=False):
        if name in op.mutates and x is not d:
            x._assign(d)
    if target is None:
        return made
    target._assign(made[0] if isinstance(made, list) else made)
    return out


def _put_rows(x: NDArray, rows: Array, data: Array) -> None:
    if x.stype == "default":
        x._data[rows] = data
        return
    held: RowSparse = x._held
    keep = ~np.isin(held.indices, rows)
    merged = np.concatenate([held.data[keep], data.astype(held.data.dtype, copy=False)])
    x._held = RowSparse.gathered(merged, np.concatenate([held.indices[keep], rows]), held.shape)  # type: ignore[attr-defined]
