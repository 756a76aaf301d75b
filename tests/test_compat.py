"""Scripts that import `mxnet` get psdist's own modules."""

import subprocess
import sys
import textwrap

import pytest

import psdist as mx
from psdist import compat


def run(script):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_entry_in_sys_modules_is_enough_for_every_way_of_importing():
    run(
        """
        import sys, psdist
        sys.modules["mxnet"] = psdist
        import mxnet as mx
        import mxnet.ndarray as nd
        import mxnet.symbol.symbol
        import mxnet.io.io
        import mxnet.ndarray.linalg
        from mxnet import nd as nd2, sym, autograd
        from mxnet.base import MXNetError
        from mxnet.module import Module
        from mxnet.ndarray.ndarray import NDArray
        from mxnet.ndarray.sparse import CSRNDArray
        assert nd is nd2 is psdist.ndarray is mx.nd
        assert Module is psdist.mod.Module and NDArray is psdist.nd.NDArray
        assert mxnet.symbol.symbol.Symbol is psdist.sym.Symbol
        assert MXNetError is psdist.errors.PSError
        """
    )


def test_install_does_the_same_and_psdists_modules_keep_their_own_names():
    out = run(
        """
        import psdist.compat
        psdist.compat.install()
        from mxnet.ndarray import NDArray
        import mxnet.executor, psdist.executor
        assert mxnet.executor is psdist.executor
        print(mxnet.executor.__name__, mxnet.executor.__spec__.name, NDArray.__module__)
        """
    )
    assert out.split() == ["psdist.executor", "psdist.executor", "psdist.ndarray.array"]


def test_a_module_that_does_not_exist_is_not_invented():
    run(
        """
        import sys, psdist
        sys.modules["mxnet"] = psdist
        try:
            import mxnet.nosuch
        except ModuleNotFoundError as e:
            assert e.name == "mxnet.nosuch", e
        else:
            raise AssertionError
        """
    )


def test_install_refuses_to_stand_in_for_a_package_that_is_loaded():
    with pytest.raises(ImportError, match=r"textwrap is loaded already, from .*textwrap.py"):
        compat.install("textwrap")


def test_the_paths_that_only_mxnet_has_lead_to_ours():
    import psdist.io.io as there

    from psdist.ndarray.ndarray import NDArray, concatenate, py_slice

    assert there is sys.modules["psdist.io"]
    assert NDArray is mx.nd.NDArray
    assert concatenate is mx.nd.concatenate
    assert py_slice is slice


@pytest.mark.parametrize(
    "name",
    """AttrScope Context MXNetError attribute autograd base callback context contrib cpu cpu_pinned current_context engine
    executor gpu image img init initializer io is_np_array is_np_shape kv kvstore libinfo log lr_scheduler metric mod model
    module mon monitor name nd ndarray np_shape num_gpus operator optimizer profiler random recordio registry rnd rnn runtime
    set_np_shape sym symbol test_utils util visualization viz""".split(),
)
def test_the_front_door_has_every_classic_name(name):
    assert getattr(mx, name) is not None


def test_what_psdist_leaves_out_says_what_to_use_instead():
    with pytest.raises(AttributeError, match=r"no 'gluon': write the network as a Symbol"):
        mx.gluon  # noqa: B018
    with pytest.raises(AttributeError, match="no 'ndarry'; did you mean 'ndarray'"):
        mx.ndarry  # noqa: B018


def test_features_bulks_and_switches_answer_as_scripts_expect():
    features = mx.runtime.Features()
    assert features is mx.runtime.Features()
    assert features.is_enabled("DIST_KVSTORE")
    assert features["CUDA"].enabled == (mx.num_gpus() > 0)
    with pytest.raises(RuntimeError, match="no feature named 'nosuch'"):
        features.is_enabled("nosuch")
    assert not mx.is_np_array()
    with mx.util.np_shape(True):
        assert mx.is_np_shape()
    assert not mx.is_np_shape()
    with pytest.raises(mx.MXNetError, match=r"classic arrays \(mx.nd\)"):
        mx.util.set_np()
    before = mx.engine.set_bulk_size(4)
    with mx.engine.bulk(7):
        assert mx.engine.set_bulk_size(7) == 7
    assert mx.engine.set_bulk_size(before) == 4


def test_the_innermost_scopes_are_found_on_their_classes():
    with mx.AttrScope(a="1") as scope, mx.name.NameManager() as names, mx.cpu(3):
        assert mx.AttrScope.current is mx.attribute.current() is scope
        assert mx.name.NameManager.current is names
        assert mx.Context.default_ctx == mx.cpu(3)
    assert mx.AttrScope.current.get(None) == {}


def test_a_script_runs_unchanged_by_python_m_psdist(tmp_path):
    (tmp_path / "helper.py").write_text("import mxnet.symbol as S\nx = S.Variable('x')\n")
    (tmp_path / "script.py").write_text(
        "import sys\nimport mxnet as mx\nfrom helper import x\n"
        "if __name__ == '__main__':\n    print(sys.argv[1:], x.name, mx.nd.ones(2).asnumpy().sum())\n"
    )
    command = [sys.executable, "-W", "error", "-m", "psdist", str(tmp_path / "script.py"), "--epochs", "3"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == "['--epochs', '3'] x 2.0\n", done.stderr
    done = subprocess.run([*command[:5], "absent.py"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "python -m psdist: there is no file 'absent.py'\n")


def test_the_first_autograd_records_and_trains_by_one_switch():
    from psdist.contrib import autograd

    x = mx.nd.array([1, 2, 3])
    x.attach_grad()
    with autograd.train_section():
        assert mx.autograd.is_training()
        y = x * x
        with autograd.test_section():
            assert not mx.autograd.is_recording()
        y.backward(out_grad=mx.nd.ones(3))
    assert x.grad.asnumpy().tolist() == [2, 4, 6]
    gradients, loss = autograd.grad_and_loss(lambda a, b: a * b, argnum=1)(x, mx.nd.ones(3))
    assert (gradients[0].asnumpy().tolist(), loss.asnumpy().tolist()) == ([1, 2, 3], [1, 2, 3])
    assert autograd.grad(lambda a: a * a)(x)[0].asnumpy().tolist() == [2, 4, 6]
    assert (autograd.set_is_training(True), autograd.set_is_training(False)) == (False, True)
    assert not mx.autograd.is_recording()
    with pytest.raises(mx.MXNetError, match="argument 0 is a float; wanted an NDArray"):
        autograd.grad(lambda a: a)(1.0)


def test_the_folder_of_data_sets_is_at_home_unless_mxnet_home_says_otherwise(monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    monkeypatch.delenv("MXNET_HOME", raising=False)
    assert mx.base.data_dir() == mx.base.data_dir_default() == "/somewhere/.mxnet"
    monkeypatch.setenv("MXNET_HOME", "/data/mxnet")
    assert (mx.base.data_dir(), mx.base.data_dir_default()) == ("/data/mxnet", "/somewhere/.mxnet")
