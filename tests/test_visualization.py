"""print_summary and plot_network, against what MXNet says and draws of the same network."""

import json
import sys
from pathlib import Path

import pytest

import psdist as mx
from psdist.errors import ConfigError, GraphError

from .files import arrays

ANSWER = json.loads((Path(__file__).parent / "files" / "oracle" / "visualization.json").read_text())
SHAPE = {"data": (1, 3, 20, 20)}


@pytest.fixture
def drawing(monkeypatch):
    """plot_network's Digraph, replaced by one that keeps what is drawn."""
    monkeypatch.setitem(sys.modules, "graphviz", type("graphviz", (), {"Digraph": arrays.Drawing}))


def test_the_summary_is_mxnets(capsys):
    with mx.name.NameManager():
        mx.viz.print_summary(arrays.network(mx), shape=SHAPE)
    assert capsys.readouterr().out == ANSWER["summary"]


def test_the_summary_without_shapes_names_the_layers(capsys):
    mx.viz.print_summary(arrays.network(mx), line_length=60, positions=[30, 40, 50, 60])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) == 60
    assert lines[5].split() == ["c1(Convolution)", "0", "data"]


def test_a_shared_weight_and_an_embedding_are_counted_once(capsys):
    x, w = mx.sym.Variable("data"), mx.sym.Variable("w")
    x = mx.sym.Embedding(x, input_dim=7, output_dim=5, name="emb")
    x = mx.sym.FullyConnected(x, weight=w, num_hidden=10, no_bias=True, name="a")
    x = mx.sym.FullyConnected(
        mx.sym.FullyConnected(x, num_hidden=10, name="b"), weight=w, num_hidden=10, no_bias=True, name="c"
    )
    mx.viz.print_summary(
        mx.sym.FullyConnected(x, num_hidden=1, name="d"), shape={"data": (1, 2), "w": (10, 10)}
    )
    out = capsys.readouterr().out
    assert f"Total params: {7 * 5 + 110 + 11}" in out


def test_the_drawing_is_mxnets(drawing):
    with mx.name.NameManager():
        dot = mx.viz.plot_network(arrays.network(mx), title="net", save_format="png", shape=SHAPE)
    assert dot.options == {"name": "net", "format": "png"}
    assert dot.nodes == ANSWER["nodes"]
    assert dot.edges == ANSWER["edges"]


def test_weights_are_drawn_when_asked_for_and_boxes_as_asked(drawing):
    dot = mx.viz.plot_network(arrays.network(mx), hide_weights=False, node_attrs={"shape": "hexagon"})
    by_name = {n["name"]: n for n in dot.nodes}
    assert by_name["c1_weight"]["shape"] == "oval"
    assert by_name["c1"]["shape"] == "hexagon"
    assert {
        "tail_name": "c1",
        "head_name": "c1_weight",
        "dir": "back",
        "arrowtail": "open",
        "label": "",
    } in dot.edges


def test_names_that_are_there_twice_are_warned_of(drawing):
    x = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=5, name="fc")
    net = mx.sym.FullyConnected(mx.sym.Activation(x, act_type="relu", name="a"), num_hidden=5, name="fc")
    with pytest.warns(
        UserWarning, match="multiple variables with the same name in your graph.*: fc_weight, fc_bias"
    ):
        mx.viz.plot_network(net, shape={"data": (2, 5)})


def test_an_operator_of_several_outputs_shows_the_first(capsys):
    net = mx.sym.SliceChannel(mx.sym.Variable("data"), num_outputs=3, name="cut")
    mx.viz.print_summary(net, shape={"data": (2, 6)})
    assert "cut(SliceChannel)" in (line := capsys.readouterr().out.splitlines()[-4])
    assert line.split()[1] == "2"


def test_graphviz_accepts_the_drawing():
    graphviz = pytest.importorskip("graphviz")
    dot = mx.viz.plot_network(arrays.network(mx), shape=SHAPE)
    assert isinstance(dot, graphviz.Digraph)
    assert "3x20x20" in dot.source


def test_what_cannot_be_drawn_says_why(monkeypatch):
    monkeypatch.setitem(sys.modules, "graphviz", None)
    with pytest.raises(
        ConfigError, match=r"plot_network needs graphviz, which is not installed: pip install 'psd"
    ):
        mx.viz.plot_network(arrays.network(mx))
    with pytest.raises(TypeError, match="visualization: wanted a Symbol, got str"):
        mx.viz.print_summary("net")
    net = mx.sym.FullyConnected(mx.sym.Variable("data") + mx.sym.Variable("more"), num_hidden=3, name="fc")
    with pytest.raises(GraphError, match="shape gives data; not enough to know the shape of "):
        mx.viz.print_summary(mx.sym.Concat(net, mx.sym.Variable("other")), shape={"data": (1, 2)})
