"""Checkpoints of recurrent models hold one array a gate, and load into fused and unfused cells alike."""

import numpy as np

import psdist as mx


def test_a_fused_model_is_saved_gate_by_gate_and_loads_into_either(tmp_path):
    prefix = str(tmp_path / "model")
    fused = mx.rnn.FusedRNNCell(3, num_layers=2, mode="lstm", prefix="f_")
    symbol = fused.unroll(2, mx.sym.Variable("data"), merge_outputs=True)[0]
    exe = symbol.simple_bind(mx.cpu(), data=(1, 2, 5))
    flat = exe.arg_dict["f_parameters"]
    flat[:] = np.arange(flat.size)
    callback = mx.rnn.do_rnn_checkpoint(fused, prefix, period=2)
    for epoch in range(2):
        callback(epoch, symbol, {"f_parameters": flat}, {"moving": mx.nd.ones((1,))})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model-0002.params", "model-symbol.json"]
    assert "arg:f_l1_h2h_o_bias" in mx.nd.load(f"{prefix}-0002.params")

    loaded, arg, aux = mx.rnn.load_rnn_checkpoint(fused, prefix, 2)
    assert loaded.list_arguments() == symbol.list_arguments()
    assert np.array_equal(arg["f_parameters"].asnumpy(), flat.asnumpy())
    assert list(aux) == ["moving"]
    _, arg, _ = mx.rnn.load_rnn_checkpoint([fused.unfuse()], prefix, 2)
    assert sorted(arg)[:2] == ["f_l0_h2h_bias", "f_l0_h2h_weight"]
