"""Changes to a program's steps, before they are taken apart: operators merged and moved.

Promise: tolerance. Where a sum is ordered otherwise, or two elements that rounding has made equal decide where a
maximum's gradient goes, the last bits differ: rtol 1e-5 of the largest element.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .. import ops
from ..symbol.graph import Node
from .program import Program, Step, mark

__all__ = ["rewrite"]

_MONOTONE = ("relu", "sigmoid", "tanh", "softrelu", "softsign")


def rewrite(program: Program, is_train: bool) -> tuple[Program, list[str]]:
    """The program with operators merged and moved, and what was done, in words."""
    edit = _Edit(program)
    edit.pool_before_activation()
    if not is_train:
        edit.fold_batch_norm()
        edit.drop_dropout()
    return edit.finish(), edit.notes


class _Edit:
    """A program under change. Slots are added, never renumbered."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.steps = [replace(step) for step in program.steps]
        self.shapes = list(program.shapes)
        self.dtypes = list(program.dtypes)
        self.notes: list[str] = []

    def finish(self) -> Program:
        """The changed program."""
        p = self.program
        new = replace(p, steps=self.steps, shapes=self.shapes, dtypes=self.dtypes, final={})
        mark(new)
        return new

    def _maker(self, slot: int) -> Step | None:
        return next((s for s in self.steps if slot in s.outs), None)

    def _only_reader(self, slot: int) -> bool:
        """Whether one step reads this slot, once, and nobody outside."""
        return slot not in self.program.heads and sum(s.ins.count(slot) for s in self.steps) == 1

    def _new(
        self, op_name: str, node: Node, ins: Sequence[int], out: int | None = None, **params: Any
    ) -> Step:
        """A step of an operator, whose output is `out` or a new slot."""
        op = ops.get(op_name)
        parsed = op.parse(params)
        if out is None:
            _, (shape, *_) = op.infer_shape([self.shapes[i] for i in ins], parsed)
            assert shape is not None
            out = self._slot(shape, self.dtypes[ins[0]])
        return Step(node, op, parsed, tuple(ins), (out,), 1)

    def _slot(self, shape: tuple[int, ...], dtype: str) -> int:
        self.shapes.append(shape)
        self.dtypes.append(dtype)
        return len(self.shapes) - 1

    def _replace(self, old: Sequence[Step], new: Sequence[Step], at: Step) -> None:
        """Put `new` where `at` stands, and take `old` out."""
        gone = {id(s) for s in old}
        k = next(i for i, s in enumerate(self.steps) if s is at)
        before = [s for s in self.steps[:k] if id(s) not in gone]
        self.steps = [*before, *new, *(s for s in self.steps[k:] if id(s) not in gone)]

    # -- pool(activation(x + b)) = activation(pool(x) + b) ---------------------------------------------------

    def pool_before_activation(self) -> None:
        """A maximum commutes with what never decreases, so that bias and activation work on fewer elements."""
        for pool in list(self.steps):
            if pool.op.name != "Pooling" or pool.params["pool_type"] != "max":
                continue
            act = self._maker(pool.ins[0])
            if act is None or not _is_monotone(act) or not self._only_reader(pool.ins[0]):
                continue
            if math.prod(self.shapes[pool.outs[0]]) >= math.prod(self.shapes[pool.ins[0]]):
                continue
            self._move_pool(pool, act)

    def _move_pool(self, pool: Step, act: Step) -> None:
        small = self.shapes[pool.outs[0]]
        conv = self._maker(act.ins[0])
        source, gone, head, tail = act.ins[0], [act, pool], [], []
        pooled = self._slot(small, self.dtypes[source])
        before = pooled
        what = act.node.name
        if (
            conv is not None
            and conv.op.name == "Convolution"
            and len(conv.ins) == 3
            and self._only_reader(source)
        ):
            bare = replace(conv, params={**conv.params, "no_bias": True}, ins=conv.ins[:2])
            wide = self._new("Reshape", conv.node, conv.ins[2:], shape=(1, -1, *(1,) * (len(small) - 2)))
            tail = [wide, self._new("broadcast_add", conv.node, (pooled, wide.outs[0]))]
            before = tail[-1].outs[0]
            gone.append(conv)
            head = [bare]
            what = f"{conv.node.name}'s bias and {what}"
        moved = replace(pool, ins=(source,), outs=(pooled,))
        self._replace(gone, [*head, moved, *tail, replace(act, ins=(before,), outs=pool.outs)], pool)
        count = math.prod(self.shapes[source]) / math.prod(small)
        self.notes.append(f"{pool.node.name} moved before {what}: they see {count:.3g} times fewer elements")

    # -- prediction ------------------------------------------------------------------------------------------

    def fold_batch_norm(self) -> None:
        """BatchNorm of the moving averages is an affine map of each channel: the weights before it take it in."""
        for norm in list(self.steps):
            if norm.op.name != "BatchNorm" or norm.params["axis"] != 1 or norm.params["output_mean_var"]:
                continue
            before = self._maker(norm.ins[0])
            if before is None or not _is_affine(before) or not self._only_reader(norm.ins[0]):
                continue
            if any(self._read(slot) for slot in norm.outs[1:]):
                continue
            weight = self.shapes[before.ins[1]]
            if math.prod(weight) > math.prod(self.shapes[norm.outs[0]]):
                continue  # changing the weights would cost more than it saves
            self._fold(norm, before)

    def _read(self, slot: int) -> bool:
        return slot in self.program.heads or any(slot in s.ins for s in self.steps)

    def _fold(self, norm: Step, before: Step) -> None:
        node, (_, gamma, beta, mean, var) = norm.node, norm.ins
        new: list[Step] = []

        def add(name: str, *ins: int, **params: Any) -> int:
            new.append(self._new(name, node, ins, **params))
            return new[-1].outs[0]

        inverse = add("rsqrt", add("_plus_scalar", var, scalar=norm.params["eps"]))
        scale = inverse if norm.params["fix_gamma"] else add("elemwise_mul", gamma, inverse)
        ndim = len(self.shapes[before.ins[1]])
        weight = add("broadcast_mul", before.ins[1], add("Reshape", scale, shape=(-1, *(1,) * (ndim - 1))))
        if len(before.ins) > 2:
            shift = add("elemwise_sub", before.ins[2], mean)
            bias = add("elemwise_add", add("elemwise_mul", shift, scale), beta)
        else:
            bias = add("elemwise_sub", beta, add("elemwise_mul", mean, scale))
        params = {**before.params, "no_bias": False}
        new.append(replace(before, params=params, ins=(before.ins[0], weight, bias), outs=norm.outs[:1]))
        self._replace([norm, before], new, norm)
        self.notes.append(f"{norm.node.name} folded into {before.node.name}'s weights")

    def drop_dropout(self) -> None:
        """Dropout does nothing in prediction."""
        for drop in list(self.steps):
            if (
                drop.op.name == "Dropout"
                and drop.params["mode"] == "training"
                and not self._read(drop.outs[1])
            ):
                copy = self._new("_copy", drop.node, drop.ins, drop.outs[0])
                self._replace([drop], [copy], drop)
                self.notes.append(f"{drop.node.name} dropped: it does nothing in prediction")


def _is_monotone(step: Step) -> bool:
    name = step.params["act_type"] if step.op.name == "Activation" else step.op.name
    return name in _MONOTONE


def _is_affine(step: Step) -> bool:
    if step.op.name == "FullyConnected":
        return bool(step.params["flatten"])
    return step.op.name == "Convolution" and step.params.get("layout") in (None, "NCHW", "NCW", "NCDHW")
