"""Recurrent networks over whole sequences: vanilla, LSTM, GRU; several layers, both directions.

All parameters come in one flat array: for each layer and direction the weights from the input (gates · h, input) and
from the state (gates · h, h); then in the same order the two biases. Gates: LSTM i, f, g, o (Hochreiter and
Schmidhuber 1997, with Gers' forget gate); GRU r, z, n, with the reset gate after the product (as cuDNN has it).

Inside, gates and states lie with the batch innermost, (gates · h, batch) at each step: every gate is one run of memory,
and BLAS is quicker at few columns than at few rows. The product with the input is made for all steps at once; only the
product with the state goes step by step. Backward likewise keeps one GEMM a step and batches all others over time.
What it needs (gates, cells, hidden states, dropout masks) is kept in the last output, a flat reserve.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, ShapeError
from .registry import Params, op
from .rnn_compiled import backward_loop, forward_loop
from .signature import Shape

Array = NDArray[Any]
_GATES = {"rnn_relu": 1, "rnn_tanh": 1, "lstm": 4, "gru": 3}


@dataclass(frozen=True, slots=True)
class _Net:
    """The sizes of a network, and where its parts lie in flat arrays."""

    mode: str
    steps: int
    batch: int
    inputs: int
    hidden: int
    layers: int
    directions: int

    @classmethod
    def of(cls, data: Shape, params: Params) -> _Net:
        steps, batch, inputs = data
        return cls(params["mode"], steps, batch, inputs, params["state_size"], params["num_layers"],
                   1 + params["bidirectional"])  # fmt: skip

    @property
    def gates(self) -> int:
        return _GATES[self.mode]

    def width(self, layer: int) -> int:
        return self.inputs if layer == 0 else self.hidden * self.directions

    def num_parameters(self) -> int:
        rows = self.gates * self.hidden * self.directions
        return sum(rows * (self.width(k) + self.hidden + 2) for k in range(self.layers))

    def views(self, flat: Array) -> Iterator[tuple[Array, Array, Array, Array]]:
        """Input and state weights, input and state bias of each layer and direction, as views of the flat array."""
        rows, h = self.gates * self.hidden, self.hidden
        cells = [k for k in range(self.layers) for _ in range(self.directions)]
        at = 0
        weights = []
        for k in cells:
            w = flat[at : at + rows * self.width(k)].reshape(rows, self.width(k))
            at += w.size
            weights.append((w, flat[at : at + rows * h].reshape(rows, h)))
            at += rows * h
        for w, u in weights:
            yield w, u, flat[at : at + rows], flat[at + rows : at + 2 * rows]
            at += 2 * rows

    def kept(self, reserve: Array) -> Iterator[tuple[Array, Array, Array]]:
        """For each layer: gates (directions, steps, gates · h, batch), hidden and cell states (directions, which, steps,
        h, batch), and the mask over its input, as views of the flat reserve."""
        d, t, n, h = self.directions, self.steps, self.batch, self.hidden
        extra = 1 + (self.mode == "lstm") + (self.mode == "gru")  # GRU keeps U h + b of its third gate
        at = 0
        for k in range(self.layers):
            parts = []
            for shape in ((d, t, self.gates * h, n), (d, extra, t, h, n), (t, n, self.width(k))):
                size = int(np.prod(shape))
                parts.append(reserve[at : at + size].reshape(shape))
                at += size
            yield parts[0], parts[1], parts[2]

    def reserve_size(self) -> int:
        extra = 1 + (self.mode == "lstm") + (self.mode == "gru")
        row = self.directions * self.hidden * (self.gates + extra)
        return self.steps * self.batch * sum(row + self.width(k) for k in range(self.layers))


def _halves(net: _Net) -> Any:
    """Factors for the gates' rows, (gates · h, 1): 1/2 where sigmoid(x) = tanh(x/2)/2 + 1/2 is to come of a tanh."""
    factors = np.ones((net.gates * net.hidden, 1))
    if net.mode == "lstm":
        factors[: 2 * net.hidden] = factors[3 * net.hidden :] = 0.5
    elif net.mode == "gru":
        factors[: 2 * net.hidden] = 0.5
    return factors


def _rise(x: Array) -> None:
    """From a tanh to a sigmoid."""
    x *= 0.5
    x += 0.5


def _forward_steps(net: _Net, gates: Array, kept: Array, u: Array, b_u: Array, h: Array, c: Array | None,
                   backwards: bool) -> tuple[Array, Array | None]:  # fmt: skip
    """One layer in one direction. `gates` holds the input's share and becomes the gates; `kept[0]` the states."""
    n = net.hidden
    order = range(net.steps - 1, -1, -1) if backwards else range(net.steps)
    product = np.empty(gates.shape[1:], gates.dtype)
    spare = np.empty((n, net.batch), gates.dtype)
    loop = forward_loop(gates, product, kept, c, backwards) if c is not None else None
    for t in order:
        g, out = gates[t], kept[0, t]
        np.matmul(u, h, out=product)
        if loop is not None:
            loop.run(t)
            h, c = out, kept[1, t]
            continue
        if net.mode == "gru":
            product += b_u
            inner, rz, new = kept[1, t], g[: 2 * n], g[2 * n :]
            inner[...] = product[2 * n :]
            rz += product[: 2 * n]
            np.tanh(rz, out=rz)
            _rise(rz)
            np.multiply(g[:n], inner, out=spare)
            new += spare
            np.tanh(new, out=new)
            np.subtract(h, new, out=out)
            out *= g[n : 2 * n]
            out += new
        elif net.mode == "lstm":
            assert c is not None
            g += product
            np.tanh(g, out=g)
            _rise(g[: 2 * n])
            _rise(g[3 * n :])
            cell = kept[1, t]
            np.multiply(c, g[n : 2 * n], out=cell)
            np.multiply(g[:n], g[2 * n : 3 * n], out=spare)
            cell += spare
            np.tanh(cell, out=out)
            out *= g[3 * n :]
            c = cell
        else:
            g += product
            if net.mode == "rnn_tanh":
                np.tanh(g, out=out)
            else:
                np.maximum(g, 0, out=out)
        h = out
    return h, c


def _backward_steps(net: _Net, gates: Array, kept: Array, u: Array, g_out: Array, h0: Array, c0: Array | None,
                    g_h: Array, g_c: Array | None, backwards: bool) -> tuple[Array, Array, Array, Array | None]:  # fmt: skip
    """Gradients of the gates' sums, of the state's product, and of the initial states. Both first ones are
    (steps, gates · h, batch) and differ for GRU alone, whose reset gate stands between."""
    n = net.hidden
    order = range(net.steps) if backwards else range(net.steps - 1, -1, -1)
    g_sum = np.empty_like(gates)
    g_product = np.empty_like(gates) if net.mode == "gru" else g_sum
    g_h, g_c = g_h.copy(), None if g_c is None else g_c.copy()
    a, b = np.empty((2, n, net.batch), gates.dtype)
    u_t = np.ascontiguousarray(u.T)
    before = 1 if backwards else -1
    loop = None
    if c0 is not None and g_c is not None:
        loop = backward_loop(gates, kept, c0, g_h, g_out, g_c, g_sum, backwards)
    for t in order:
        if loop is not None:
            loop.run(t)
            np.matmul(u_t, g_sum[t], out=g_h)
            continue
        is_first = t == (net.steps - 1 if backwards else 0)
        h_before = h0 if is_first else kept[0, t + before]
        g_h += g_out[t]
        gate, grad = gates[t], g_sum[t]
        if net.mode == "gru":
            r, z, new = gate[:n], gate[n : 2 * n], gate[2 * n :]
            g_new = g_h * (1 - z)
            g_new *= 1 - new * new
            grad[2 * n :] = g_new
            grad[n : 2 * n] = g_h * (h_before - new) * z * (1 - z)
            grad[:n] = g_new * kept[1, t] * r * (1 - r)
            g_product[t, : 2 * n] = grad[: 2 * n]
            np.multiply(g_new, r, out=g_product[t, 2 * n :])
            g_h *= z
            g_h += u_t @ g_product[t]
        elif net.mode == "lstm":
            assert g_c is not None
            assert c0 is not None
            i, f, new, o = gate.reshape(4, n, -1)
            g_i, g_f, g_new, g_o = grad.reshape(4, n, -1)
            c_before = c0 if is_first else kept[1, t + before]
            np.tanh(kept[1, t], out=a)
            g_h *= o  # g_h o: of tanh(c); g_h o tanh(c) (1 - o): of o's sum
            np.multiply(g_h, a, out=b)
            np.multiply(b, o, out=g_o)
            np.subtract(b, g_o, out=g_o)
            b *= a
            g_h -= b
            g_c += g_h
            np.multiply(g_c, new, out=g_i)
            g_i *= i
            np.multiply(g_i, i, out=a)
            g_i -= a
            np.multiply(g_c, c_before, out=g_f)
            g_f *= f
            np.multiply(g_f, f, out=a)
            g_f -= a
            np.multiply(g_c, i, out=g_new)
            np.multiply(new, new, out=a)
            a *= g_new
            g_new -= a
            g_c *= f
            np.matmul(u_t, grad, out=g_h)
        else:
            out = kept[0, t]
            if net.mode == "rnn_tanh":
                np.multiply(out, out, out=a)
                a *= g_h
                np.subtract(g_h, a, out=grad)
            else:
                np.multiply(g_h, out > 0, out=grad)
            np.matmul(u_t, grad, out=g_h)
    return g_sum, g_product, g_h, g_c


def _active(params: Params) -> tuple[str, ...]:
    names = ["data", "parameters", "state"]
    if params["mode"] == "lstm":
        names.append("state_cell")
    if params["use_sequence_length"]:
        names.append("sequence_length")
    return tuple(names)


def _shape(ins: list[Shape | None], params: Params, outs: list[Shape | None]) -> Any:
    data = ins[0]
    if data is None or 0 in data:
        return ins, outs
    net = _Net.of(data, params)
    state = (net.layers * net.directions, net.batch, net.hidden)
    lstm = params["mode"] == "lstm"
    wanted: list[Shape] = [data, (net.num_parameters(),), state] + [state] * lstm
    if params["use_sequence_length"]:
        wanted.append((net.batch,))
    for name, given, want in zip(_active(params), ins, wanted, strict=True):
        if given is not None and 0 not in given and given != want:
            raise ShapeError(f"{name} is {given}; data {data} and the parameters want {want}")
    out = (net.steps, net.batch, net.hidden * net.directions)
    return wanted, [out, state, *[state] * lstm, (net.reserve_size(),)]


def _output_count(params: Params) -> int:
    return 4 if params["mode"] == "lstm" else 3


def _visible_count(params: Params) -> int:
    return _output_count(params) - 1 if params["state_outputs"] else 1


def _outputs(kept: Array, out: Array | None = None) -> Any:
    """(steps, batch, directions · h) of the states that a layer keeps."""
    return np.concatenate(list(kept[:, 0].swapaxes(2, 3)), axis=2, out=out)


def _by_gate(g: Array) -> Any:
    """(steps, gates · h, batch) as (gates · h, steps · batch)."""
    return np.ascontiguousarray(g.swapaxes(0, 1)).reshape(g.shape[1], -1)


@op(shape=_shape, active=_active, num_outputs=_output_count, num_visible=_visible_count,
    outputs=("output", "state_output", "statecell_output", "reserve"))  # fmt: skip
def RNN(data: Array, parameters: Array, state: Array, state_cell: Array | None = None,
        sequence_length: Array | None = None, /, *, state_size: int, num_layers: int, bidirectional: bool = False,
        mode: Literal["gru", "lstm", "rnn_relu", "rnn_tanh"], p: float = 0.0, state_outputs: bool = False,
        projection_size: int | None = None, lstm_state_clip_min: float | None = None,
        lstm_state_clip_max: float | None = None, lstm_state_clip_nan: bool = False,
        use_sequence_length: bool = False, is_train: bool, rng: np.random.Generator,
        outs: tuple[Array, ...] | None = None) -> Any:  # fmt: skip
    """A recurrent network over (steps, batch, features): vanilla with ReLU or tanh, LSTM or GRU; `num_layers` of
    `state_size`, in both directions if `bidirectional`; in training with dropout `p` between layers.

    `parameters` holds all weights, then all biases, in one array. With `state_outputs` the last states come as well,
    of shape (layers · directions, batch, state_size), as the initial `state` has."""
    if projection_size is not None or use_sequence_length or lstm_state_clip_min is not None:
        raise ConfigError(
            "RNN: projection_size, use_sequence_length and lstm_state_clip_min are not supported"
        )
    params = {
        "mode": mode,
        "state_size": state_size,
        "num_layers": num_layers,
        "bidirectional": bidirectional,
    }
    net = _Net.of(data.shape, params)
    lstm, factors = mode == "lstm", _halves(net).astype(data.dtype)
    weights = net.views(parameters)
    reserve = np.empty(net.reserve_size(), data.dtype) if outs is None else outs[-1]
    last_h = np.empty_like(state) if outs is None else outs[1]
    last_c = (np.empty_like(state) if outs is None else outs[2]) if lstm else last_h
    x = data
    for layer, (gates, kept, mask) in enumerate(net.kept(reserve)):
        if layer and p and is_train:
            mask[...] = rng.random(mask.shape, dtype=np.float32) >= p
            mask *= 1 / (1 - p)
            x = x * mask
        for d in range(net.directions):
            w, u, b_w, b_u = next(weights)
            b_w, b_u = b_w[:, None] * factors, b_u[:, None] * factors
            bias = b_w if mode == "gru" else b_w + b_u
            share = (w * factors) @ x.reshape(-1, x.shape[2]).T
            share += bias
            np.copyto(gates[d], share.reshape(len(w), net.steps, net.batch).swapaxes(0, 1))
            u = u * factors
            cell = layer * net.directions + d
            c0 = None if state_cell is None else np.ascontiguousarray(state_cell[cell].T)
            h, c = _forward_steps(
                net, gates[d], kept[d], u, b_u, np.ascontiguousarray(state[cell].T), c0, d == 1
            )
            last_h[cell] = h.T
            if c is not None:
                last_c[cell] = c.T
        x = _outputs(kept, outs[0] if outs is not None and layer == net.layers - 1 else None)
    return (x, last_h, last_c, reserve) if lstm else (x, last_h, reserve)


@RNN.gradient
def _(*arrays: Array, mode: str, p: float, state_outputs: bool, is_train: bool, needs: tuple[bool, ...],
      **params: Any) -> Any:  # fmt: skip
    lstm = mode == "lstm"
    heads = arrays[: (2 + lstm) if state_outputs else 1]
    reserve = arrays[len(heads) + 2 + lstm]
    data, parameters, state, *rest = arrays[len(heads) + 3 + lstm :]
    net = _Net.of(data.shape, {**params, "mode": mode})
    zero = np.zeros_like(state)
    g_last_h = heads[1] if state_outputs else zero
    g_last_c = (heads[2] if state_outputs else zero) if lstm else None
    g_parameters, g_state = np.empty_like(parameters), np.empty_like(state)
    g_cell = np.empty_like(state) if lstm else None
    views, g_views = list(net.views(parameters)), list(net.views(g_parameters))
    kept_layers = list(net.kept(reserve))
    g_out = heads[0]
    for layer in range(net.layers - 1, -1, -1):
        gates, kept, mask = kept_layers[layer]
        dropped = bool(layer and p and is_train)
        if layer == 0:
            x = data
        else:
            x = _outputs(kept_layers[layer - 1][1])
            x = x * mask if dropped else x
        g_x: Any = 0
        for d in range(net.directions):
            cell = layer * net.directions + d
            _, u, _, _ = views[cell]
            part = g_out[:, :, d * net.hidden : (d + 1) * net.hidden].swapaxes(1, 2)
            h0 = np.ascontiguousarray(state[cell].T)
            c0 = np.ascontiguousarray(rest[0][cell].T) if lstm else None
            g_c = None if g_last_c is None else g_last_c[cell].T
            g_sum, g_product, g_h, g_c = _backward_steps(
                net, gates[d], kept[d], u, np.ascontiguousarray(part), h0, c0, g_last_h[cell].T, g_c, d == 1
            )
            h = kept[d, 0].swapaxes(1, 2)
            before = np.concatenate((h[1:], state[cell][None]) if d else (state[cell][None], h[:-1]))
            flat = _by_gate(g_sum)
            flat_product = flat if g_product is g_sum else _by_gate(g_product)
            g_w, g_u, g_bw, g_bu = g_views[cell]
            np.matmul(flat, x.reshape(-1, x.shape[2]), out=g_w)
            np.matmul(flat_product, before.reshape(-1, net.hidden), out=g_u)
            flat.sum(axis=1, out=g_bw)
            flat_product.sum(axis=1, out=g_bu)
            if layer or needs[0]:
                g_x = g_x + (flat.T @ views[cell][0]).reshape(x.shape)
            g_state[cell] = g_h.T
            if g_cell is not None and g_c is not None:
                g_cell[cell] = g_c.T
        g_out = g_x * mask if dropped else g_x
    g_data = g_out if needs[0] else None
    return (g_data, g_parameters, g_state, g_cell) if lstm else (g_data, g_parameters, g_state)
