"""Bucketing, sequential and Python modules, and FeedForward."""

import numpy as np
import pytest

import psdist as mx
from psdist.errors import ConfigError

RANDOM = np.random.RandomState(1)


def sum_of_words(length):
    """Whether a text has more of word 1 than of word 0, for texts of one length."""
    net = mx.sym.Embedding(mx.sym.Variable("data"), input_dim=3, output_dim=4, name="embed")
    net = mx.sym.sum(net, axis=1)
    net = mx.sym.FullyConnected(net, num_hidden=2, name="fc")
    return (
        mx.sym.SoftmaxOutput(net, mx.sym.Variable("softmax_label"), name="softmax"),
        ("data",),
        ("softmax_label",),
    )


def texts(length, count=16):
    words = RANDOM.randint(0, 3, (count, length))
    label = (words == 1).sum(axis=1) > (words == 0).sum(axis=1)
    return mx.io.DataBatch(
        [mx.nd.array(words)],
        [mx.nd.array(label)],
        pad=0,
        bucket_key=length,
        provide_data=[mx.io.DataDesc("data", (count, length))],
        provide_label=[mx.io.DataDesc("softmax_label", (count,))],
    )


class Texts(mx.io.DataIter):
    """Batches of texts of three lengths."""

    def __init__(self):
        super().__init__(16)
        self.batches = [texts(length) for length in (9, 5, 7) for _ in range(6)]
        self.default_bucket_key = 9
        first = self.batches[0]
        self.provide_data, self.provide_label = first.provide_data, first.provide_label
        self.reset()

    def reset(self):
        self.left = iter(self.batches)

    def next(self):
        return next(self.left)


def test_buckets_learn_together():
    mx.random.seed(0)
    mod = mx.mod.BucketingModule(sum_of_words, default_bucket_key=9)
    data = Texts()
    mod.fit(
        data,
        num_epoch=25,
        optimizer="adam",
        optimizer_params={"learning_rate": 0.05},
        initializer=mx.init.Xavier(),
    )
    ((_, accuracy),) = mod.score(data, "acc")
    assert accuracy > 0.95
    assert set(mod._buckets) == {5, 7, 9}
    weights = {id(bucket._exec_group.execs[0].arg_dict["fc_weight"]) for bucket in mod._buckets.values()}
    assert len(weights) == 1


def test_a_bucketing_module_comes_back_from_its_checkpoint(tmp_path):
    prefix = str(tmp_path / "model")
    mod = mx.mod.BucketingModule(sum_of_words, default_bucket_key=9)
    data = Texts()
    mod.bind(data.provide_data, data.provide_label)
    mod.init_params(mx.init.Xavier())
    for batch in data:
        mod.forward(batch, is_train=False)
    mod.save_checkpoint(prefix, 3)
    again = mx.mod.BucketingModule.load(prefix, 3, default_bucket_key=9)
    again.bind(data.provide_data, data.provide_label, for_training=False)
    for length in (9, 5):
        batch = texts(length)
        for m in (mod, again):
            m.forward(batch, is_train=False)
        np.testing.assert_array_equal(mod.get_outputs()[0].asnumpy(), again.get_outputs()[0].asnumpy())
    with pytest.raises(ConfigError, match="no symbol for bucket 4"):
        again.forward(texts(4))


def softmax_grad(scores, labels):
    e = np.exp(scores.asnumpy() - scores.asnumpy().max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    p[np.arange(len(p)), labels.asnumpy().astype(int)] -= 1
    return p


def test_a_chain_learns_with_a_loss_in_python():
    mx.random.seed(0)
    data = RANDOM.normal(size=(64, 3)).astype(np.float32)
    label = (data[:, 0] > data[:, 1]).astype(np.float32)
    iterator = mx.io.NDArrayIter(data, label, batch_size=16)
    body = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=8, name="fc1")
    head = mx.sym.FullyConnected(
        mx.sym.Activation(mx.sym.Variable("x"), act_type="tanh"), num_hidden=2, name="fc2"
    )
    chain = mx.mod.SequentialModule()
    chain.add(mx.mod.Module(body, label_names=None))
    chain.add(mx.mod.Module(head, data_names=["x"], label_names=None), auto_wiring=True)
    chain.add(mx.mod.PythonLossModule(grad_func=softmax_grad), take_labels=True, auto_wiring=True)
    chain.fit(iterator, num_epoch=20, optimizer_params={"learning_rate": 0.5}, initializer=mx.init.Xavier())
    ((_, accuracy),) = chain.score(iterator, "acc")
    assert accuracy > 0.95
    args, _ = chain.get_params()
    assert set(args) == {"fc1_weight", "fc1_bias", "fc2_weight", "fc2_bias"}
    assert chain.output_names == ["pyloss_output"]
    assert chain.data_shapes == [("data", (16, 3))]


def test_a_chain_says_what_does_not_fit():
    net = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=3, name="fc")
    twice = mx.mod.SequentialModule()
    for _ in range(2):
        twice.add(mx.mod.Module(net, label_names=None), auto_wiring=True)
    twice.bind([("data", (4, 3))])
    with pytest.raises(ConfigError, match="modules 0 and 1 of the chain both have a parameter 'fc_weight'"):
        twice.init_params()
    with pytest.raises(ConfigError, match="no option 'labels'"):
        twice.add(twice, labels=True)
    with pytest.raises(ConfigError, match="no module was added"):
        mx.mod.SequentialModule().bind([("data", (4, 3))])


def test_feed_forward_predicts_on_its_first_device_whatever_it_was_trained_on():
    hidden = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=2)
    net = mx.sym.SoftmaxOutput(hidden, name="softmax")
    x, y = np.random.RandomState(0).rand(8, 3).astype(np.float32), np.zeros(8, np.float32)
    model = mx.model.FeedForward(net, ctx=[mx.cpu(0), mx.cpu(1)], num_epoch=1)
    model.fit(mx.io.NDArrayIter(x, y, 4))
    one_by_one = model.predict(mx.io.NDArrayIter(x, batch_size=1))  # a batch that two devices cannot share
    assert one_by_one.shape == (8, 2)
    assert model.score(mx.io.NDArrayIter(x, y, 1)) == np.mean(one_by_one.argmax(axis=1) == 0)


def test_feed_forward_takes_arrays(tmp_path):
    mx.random.seed(0)
    np.random.seed(0)
    prefix = str(tmp_path / "model")
    data = RANDOM.rand(50, 3).astype(np.float32)
    label = (data[:, 0] > 0.5).astype(np.float32)
    net = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=2, name="fc")
    net = mx.sym.SoftmaxOutput(net, name="softmax")
    model = mx.model.FeedForward(net, num_epoch=30, learning_rate=0.5, numpy_batch_size=10)
    with pytest.raises(ConfigError, match="no parameters yet"):
        model.predict(data)
    model.fit(data, label, eval_data=(data, label))
    predicted = model.predict(data)
    assert isinstance(predicted, np.ndarray)
    assert predicted.shape == (50, 2)
    iterator = mx.io.NDArrayIter(data, label, batch_size=20)
    assert model.score(mx.io.NDArrayIter(data, label, batch_size=10)) > 0.9
    outputs, inputs, labels = model.predict(iterator, return_data=True)
    np.testing.assert_allclose(outputs, predicted, rtol=1e-5)
    np.testing.assert_array_equal(inputs, data)
    np.testing.assert_array_equal(labels, label)
    model.save(prefix)
    again = mx.model.FeedForward.load(prefix, 30)
    np.testing.assert_array_equal(again.predict(data), predicted)
    made = mx.model.FeedForward.create(net, data, label, num_epoch=1, epoch_size=2, learning_rate=0.1)
    assert set(made.arg_params) == {"fc_weight", "fc_bias"}
    with pytest.raises(ConfigError, match="X has 50 rows, y has 49"):
        model.fit(data, label[1:])
