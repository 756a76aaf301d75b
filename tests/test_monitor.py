"""Monitor, on executors that stand in for real ones, and on a real one."""

import logging

import numpy as np
import pytest

import psdist as mx
from psdist.errors import ConfigError
from psdist.monitor import Monitor


class Recorded:
    """An executor that computes one output, "fc_output", into the same array each time."""

    def __init__(self):
        self.out = mx.nd.array([3.0, 4.0])
        self.arg_dict = {"data": mx.nd.array([1.0]), "fc_weight": mx.nd.array([2.0, 2.0])}
        self.aux_dict = {"bn_mean": mx.nd.array([5.0])}

    def set_monitor_callback(self, callback, monitor_all=False):
        self.callback, self.monitor_all = callback, monitor_all

    def forward(self, value):
        self.out[:] = value
        self.callback("fc_output", self.out)


def test_every_second_batch_is_watched():
    monitor, exe = Monitor(2), Recorded()
    monitor.install(exe)
    steps = []
    for k in range(4):
        monitor.tic()
        exe.forward(k)
        steps.append(monitor.toc())
    assert [len(s) for s in steps] == [4, 0, 4, 0]
    assert steps[0][1:] == [(1, "data", "1.0\t"), (1, "fc_weight", "2.0\t"), (1, "bn_mean", "5.0\t")]
    assert steps[2][0] == (3, "fc_output", "2.0\t")


def test_a_statistic_is_kept_when_its_array_is_overwritten():
    monitor, exe = Monitor(1, stat_func=lambda x: [x, x.max()], pattern="fc_out", sort=True), Recorded()
    monitor.install(exe)
    monitor.tic()
    exe.forward(1)
    exe.forward(2)
    assert monitor.toc() == [(1, "fc_output", "[1. 1.]\t1.0\t"), (1, "fc_output", "[2. 2.]\t2.0\t")]


def test_the_result_may_be_ordered_by_name_and_logged(caplog):
    monitor, exe = Monitor(1, sort=True, monitor_all=True), Recorded()
    monitor.install(exe)
    assert exe.monitor_all
    monitor.tic()
    exe.forward(1)
    with caplog.at_level(logging.INFO, logger="psdist.monitor"):
        monitor.toc_print()
    assert [r.args[1] for r in caplog.records] == ["bn_mean", "data", "fc_output", "fc_weight"]
    assert caplog.messages[0].split() == ["Batch:", "1", "bn_mean", "5.0"]


def test_a_real_executor_shows_its_outputs_and_arguments():
    net = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=2, name="fc")
    exe = net.simple_bind(mx.cpu(), data=(3, 4))
    exe.arg_dict["data"][:] = 1
    exe.arg_dict["fc_weight"][:] = 0.5
    monitor = Monitor(1, pattern=".*output|.*weight")
    monitor.install(exe)
    monitor.tic()
    exe.forward()
    assert {name: text for _, name, text in monitor.toc()} == {
        "fc_output": "2.0\t",
        "fc_weight": "0.5\t",
    }


def test_wrong_arguments_are_named():
    with pytest.raises(ConfigError, match="Monitor: interval is 0; wanted 1 or more batches"):
        Monitor(0)
    monitor, exe = Monitor(1, stat_func=lambda x: float(np.max(x.asnumpy()))), Recorded()
    monitor.install(exe)
    monitor.tic()
    exe.forward(1)
    with pytest.raises(
        ConfigError, match="Monitor: stat_func gave float for 'fc_output'; wanted an NDArray or a li"
    ):
        monitor.toc()


def test_the_gradients_of_every_operator_are_seen_too():
    net = mx.sym.LinearRegressionOutput(
        mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=1, name="fc"), name="out"
    )
    mod = mx.mod.Module(net, label_names=("out_label",))
    mod.bind([("data", (2, 3))], [("out_label", (2, 1))])
    mod.init_params(mx.init.One())
    seen = mx.mon.Monitor(1, pattern=".*backward", sort=True)
    mod.install_monitor(seen)
    seen.tic()
    mod.forward_backward(mx.io.DataBatch([mx.nd.ones((2, 3))], [mx.nd.ones((2, 1))]))
    assert [name for _, name, _ in seen.toc()] == [
        *(f"fc_backward_output{i}" for i in range(3)),
        *(f"out_backward_output{i}" for i in range(2)),
    ]
