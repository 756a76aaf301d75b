"""Recurrent networks, made with MXNet or with psdist, which have to make the same graphs of them."""

LENGTH = 3


def _stack(mx):
    cell = mx.rnn.SequentialRNNCell()
    cell.add(mx.rnn.LSTMCell(4, prefix="l0_"))
    cell.add(mx.rnn.DropoutCell(0.5, prefix="d_"))
    cell.add(mx.rnn.ResidualCell(mx.rnn.RNNCell(4, prefix="l1_")))
    return cell


def _two_ways(mx):
    return mx.rnn.BidirectionalCell(mx.rnn.LSTMCell(4, prefix="l_"), mx.rnn.GRUCell(4, prefix="r_"))


def _fused(mx, **kwargs):
    return mx.rnn.FusedRNNCell(4, prefix="f_", **kwargs)


_BOTH = {"num_layers": 2, "mode": "lstm", "bidirectional": True}
CELLS = {
    "rnn": lambda mx: mx.rnn.RNNCell(4),
    "rnn relu": lambda mx: mx.rnn.RNNCell(4, activation="relu", prefix="x_"),
    "lstm": lambda mx: mx.rnn.LSTMCell(4, forget_bias=2.0),
    "gru": lambda mx: mx.rnn.GRUCell(4),
    "residual": lambda mx: mx.rnn.ResidualCell(mx.rnn.GRUCell(5)),
    "zoneout": lambda mx: mx.rnn.ZoneoutCell(mx.rnn.LSTMCell(4), 0.3, 0.2),
    "stack": _stack,
    "two ways": _two_ways,
    "fused": lambda mx: _fused(mx, **_BOTH, get_next_state=True),
    "fused gru": lambda mx: _fused(mx, mode="gru"),
    "unfused": lambda mx: _fused(mx, **_BOTH, dropout=0.3).unfuse(),
    "pictures rnn": lambda mx: mx.rnn.ConvRNNCell((1, 3, 6, 5), 4, activation="tanh", h2h_dilate=(2, 1)),
    "pictures lstm": lambda mx: mx.rnn.ConvLSTMCell((1, 3, 6, 5), 4, i2h_stride=(2, 1)),
    "pictures gru": lambda mx: mx.rnn.ConvGRUCell((1, 3, 6, 5), 4, h2h_kernel=(5, 3)),
    "unfused relu": lambda mx: _fused(mx, mode="rnn_relu", num_layers=2).unfuse(),
}
WAYS = {  # how it is unrolled: layout, one symbol or a list in, merge_outputs
    "list": ("NTC", False, None),
    "one": ("NTC", True, True),
    "steps first": ("TNC", True, False),
}
PICTURES = ["pictures rnn", "pictures lstm", "pictures gru"]
RUN = [
    *PICTURES,
    "rnn",
    "lstm",
    "gru",
    "residual",
    "stack",
    "two ways",
    "fused",
    "fused gru",
    "unfused",
    "unfused relu",
]


def flat(states):
    """The symbols in states, which a bidirectional cell nests."""
    return [x for s in states for x in (flat(s) if isinstance(s, list) else [s])]


def unroll(mx, cell, way):
    """Outputs and last states of a cell as one symbol, with automatic names counted from 0."""
    layout, is_one, merge = WAYS[way]
    with mx.name.NameManager():
        made = CELLS[cell](mx)
        inputs = mx.sym.Variable("data") if is_one else [mx.sym.Variable(f"t{i}_data") for i in range(LENGTH)]
        outputs, states = made.unroll(LENGTH, inputs, layout=layout, merge_outputs=merge)
    outputs = outputs if isinstance(outputs, list) else [outputs]
    return mx.sym.Group(outputs + flat(states))


def input_shapes(cell, way):
    layout, is_one, _ = WAYS[way]
    if cell in PICTURES:
        return {"data": (2, LENGTH, 3, 6, 5)}
    if not is_one:
        return {f"t{i}_data": (2, 5) for i in range(LENGTH)}
    return {"data": (2, LENGTH, 5) if layout == "NTC" else (LENGTH, 2, 5)}


SENTENCES = [[k * 10 + j for j in range(1 + (k * 7) % 9)] for k in range(40)]
BUCKETED = {
    "by length": {"batch_size": 3},
    "given": {"batch_size": 4, "buckets": [6, 3], "invalid_label": 0},
    "steps first": {"batch_size": 4, "buckets": [9], "layout": "TN", "dtype": "int32", "data_name": "words"},
}
TEXTS = [["a", "b", "a"], ["c", "b"], ["d", "a", "e"]]
ENCODED = {
    "new": {},
    "from 1": {"start_label": 1, "invalid_label": 0},
    "over the invalid": {"start_label": 0, "invalid_label": 2, "invalid_key": "?"},
}
