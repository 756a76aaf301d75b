"""Callbacks: what they log and save, and when."""

import io
import logging

import numpy as np
import pytest

import psdist as mx
from psdist.errors import ConfigError


class Terminal(io.StringIO):
    """A file that claims to be a terminal."""

    def isatty(self):
        return True


def at(nbatch, metric=None, epoch=0):
    return mx.callback.BatchEndParam(epoch=epoch, nbatch=nbatch, eval_metric=metric, locals=None)


def accuracy():
    metric = mx.metric.create("acc")
    metric.update([mx.nd.array([1, 0])], [mx.nd.array([[0, 1], [0, 1]])])
    return metric


def test_a_speedometer_tells_each_window_and_begins_the_metric_anew(caplog):
    caplog.set_level(logging.INFO)
    metric = accuracy()
    speedometer = mx.callback.Speedometer(batch_size=4, frequent=2)
    for nbatch in range(5):
        speedometer(at(nbatch, metric))
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split("\t")[0] for line in lines] == ["Epoch[0] Batch [0-2]", "Epoch[0] Batch [2-4]"]
    assert lines[0].split("\t")[2] == "accuracy=0.500000"
    assert metric.num_inst == 0
    speedometer(at(0, metric, epoch=1))  # an epoch begins: no line for a window that spans two
    assert len(caplog.records) == 2


def test_a_bar_is_redrawn_on_a_terminal_and_one_line_in_a_pipe():
    terminal, pipe = Terminal(), io.StringIO()
    for file in (terminal, pipe):
        bar = mx.callback.ProgressBar(total=4, length=8, file=file, text="epoch 1 ")
        for nbatch in range(4):
            bar(at(nbatch, accuracy()))
    assert pipe.getvalue() == "epoch 1 ████████ 4/4  accuracy 0.5000\n"
    assert terminal.getvalue().count("\r") == 4
    assert "epoch 1 ██░░░░░░ 1/4" in terminal.getvalue()
    assert terminal.getvalue().endswith("\n")


def test_metrics_are_logged_every_few_batches_and_at_the_end_of_an_evaluation(caplog):
    caplog.set_level(logging.INFO)
    metric = accuracy()
    log = mx.callback.log_train_metric(2, auto_reset=True)
    for nbatch in range(3):
        log(at(nbatch, metric))
    mx.callback.LogValidationMetricsCallback()(at(0, accuracy(), epoch=3))
    assert [record.getMessage() for record in caplog.records] == [
        "Iter[0] Batch[0] Train-accuracy=0.500000",
        "Iter[0] Batch[2] Train-accuracy=nan",
        "Epoch[3] Validation-accuracy=0.500000",
    ]


def test_checkpoints_are_saved_every_few_epochs_and_loaded_back(tmp_path):
    prefix = str(tmp_path / "model")
    net = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=2, name="fc")
    args = {"fc_weight": mx.nd.array([[1, 2], [3, 4]]), "fc_bias": mx.nd.zeros(2)}
    auxs = {"bn_moving_mean": mx.nd.ones(3)}
    save = mx.callback.do_checkpoint(prefix, period=2)
    for epoch in range(4):
        save(epoch, net, args, auxs)
    assert {p.name for p in tmp_path.iterdir()} == {
        "model-symbol.json",
        "model-0002.params",
        "model-0004.params",
    }
    symbol, arg_params, aux_params = mx.model.load_checkpoint(prefix, 4)
    assert symbol.list_arguments() == net.list_arguments()
    assert arg_params.keys() == args.keys()
    np.testing.assert_array_equal(arg_params["fc_weight"].asnumpy(), [[1, 2], [3, 4]])
    assert list(aux_params) == ["bn_moving_mean"]


def test_a_module_saves_itself_with_its_optimizer(tmp_path):
    prefix = str(tmp_path / "model")
    net = mx.sym.SoftmaxOutput(mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=2), name="softmax")
    mod = mx.mod.Module(net)
    data = mx.io.NDArrayIter(np.ones((4, 3)), np.zeros(4), batch_size=2)
    save = mx.callback.module_checkpoint(mod, prefix, save_optimizer_states=True)
    mod.fit(data, num_epoch=1, epoch_end_callback=save, optimizer="adam")
    assert (tmp_path / "model-0001.states").stat().st_size > 0
    assert (tmp_path / "model-0001.params").stat().st_size > 0


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path):
    path = str(tmp_path / "other-0001.params")
    mx.nd.save(path, {"weight": mx.nd.ones(2)})
    with pytest.raises(ConfigError, match="'weight' is neither 'arg:…' nor 'aux:…'"):
        mx.model.load_params(str(tmp_path / "other"), 1)
    mx.nd.save(path, [mx.nd.ones(2)])
    with pytest.raises(ConfigError, match="1 arrays without names"):
        mx.model.load_params(str(tmp_path / "other"), 1)
