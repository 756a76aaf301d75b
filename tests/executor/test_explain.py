"""A plan in words and in a picture, and `psdist explain`."""

from __future__ import annotations

import numpy as np
import psdist_launch.cli
import pytest

import psdist as mx
from psdist.errors import ConfigError
from psdist.executor import explain

from . import models


@pytest.fixture
def lenet():
    symbol, shapes = models.MODELS["lenet"]()
    executor = symbol.simple_bind(mx.cpu(), **shapes)
    for name, a in models.arrays(symbol, shapes)[0].items():
        executor.arg_dict[name][:] = a
    return executor


def test_every_pass_says_what_it_did_and_promised(lenet):
    text = lenet.explain()
    for name in ("rewrite", "lower", "simplify", "common", "dead", "store", "chains"):
        assert f"\n{name} " in text
    assert (
        "pooling0 moved before convolution0's bias and activation0: they see 4 times fewer elements" in text
    )
    assert "x + 0 would not, and stays" in text
    assert "memory: intermediates" in text
    assert "gradient of convolution0_weight is complete" in text
    assert text.index("gradient of fullyconnected1_weight") < text.index("gradient of convolution0_weight")


def test_a_run_is_measured_and_changes_no_result(lenet):
    lenet.forward(is_train=True)
    lenet.backward()
    before = lenet.grad_dict["convolution0_weight"].asnumpy()
    text = lenet.explain(run=True)
    assert "meas µs" in text
    np.testing.assert_array_equal(lenet.grad_dict["convolution0_weight"].asnumpy(), before)


def test_the_plan_for_prediction_is_shown_where_there_are_no_gradients():
    symbol, shapes = models.MODELS["residual"]()
    text = symbol.simple_bind(mx.cpu(), grad_req="null", **shapes).explain()
    assert "plan for prediction" in text
    assert "folded into" in text
    assert "backward" not in text


def test_the_picture_is_a_graph_of_instructions(lenet, tmp_path):
    lenet.explain(picture=tmp_path / "plan.dot")
    text = (tmp_path / "plan.dot").read_text()
    assert text.startswith("digraph plan {")
    assert "convolution0\\nconvolve" in text
    assert '"convolution0_weight" ->' in text


def test_the_command_explains_a_file(lenet, tmp_path, capsys):
    lenet._symbol.save(tmp_path / "net-symbol.json")
    command = ["explain", str(tmp_path / "net-symbol.json")]
    assert (
        psdist_launch.cli.main(
            [*command, "--shape", "data=2,1,28,28", "--run", "--picture", str(tmp_path / "p.dot")]
        )
        == 0
    )
    assert "meas µs" in capsys.readouterr().out
    assert (tmp_path / "p.dot").exists()
    assert psdist_launch.cli.main([*command, "--shape", "data=2,1,28,28", "--predict"]) == 0
    assert "plan for prediction" in capsys.readouterr().out
    assert psdist_launch.cli.main([*command, "--shape", "data=2,x"]) == 2
    assert "--shape data=2,x: wanted NAME=N,N,... such as data=64,1,28,28" in capsys.readouterr().err
    assert psdist_launch.cli.main([*command]) == 1
    assert "these shapes do not follow from those given: data: unknown" in capsys.readouterr().err
    assert psdist_launch.cli.main(["explain", str(tmp_path / "none.json")]) == 2
    assert "there is no file" in capsys.readouterr().err


def test_a_picture_without_graphviz_says_how_to_get_it(lenet, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "graphviz", None)
    with pytest.raises(
        ConfigError, match=r"drawing needs graphviz: pip install 'psdist\[graph\]'; or name a .dot file"
    ):
        lenet.explain(picture=tmp_path / "plan.svg")


def test_the_picture_names_gradients_and_thickens_what_takes_long():
    symbol, shapes = models.MODELS["mlp"]()
    plan = symbol.simple_bind(mx.cpu(), **shapes)._plan(True)
    slow = next(i for i in plan.instrs if i.title == "matmul")
    text = explain.picture(plan, {id(i): 2500.0 if i is slow else 1.0 for i in plan.instrs})
    assert "gradient of fc0_weight" in text
    assert text.count("penwidth=3") == 1
    assert "2.5 ms" in text
