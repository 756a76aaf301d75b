"""nd.save and nd.load over the codec: what MXNet saved comes back as NDArrays, and goes out byte for byte."""

from pathlib import Path

import numpy as np
import pytest

import psdist as mx
from psdist.errors import PSError

ORACLE = Path(__file__).parent / "oracle"


@pytest.mark.parametrize("name", ["dense", "list", "sparse"])
def test_mxnets_file_is_loaded_and_saved_byte_for_byte(name, tmp_path):
    path = ORACLE / f"{name}.params"
    loaded = mx.nd.load(str(path))
    mx.nd.save(str(tmp_path / "again"), loaded)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_loaded_arrays_are_of_their_kind():
    loaded = mx.nd.load(str(ORACLE / "sparse.params"))
    assert (loaded["csr_float32"].stype, loaded["rows_float16"].stype) == ("csr", "row_sparse")
    assert loaded["rows_int64"].asnumpy()[[0, 2, 3]].sum() == 0
    assert np.array_equal(loaded["no_rows"].asnumpy(), np.zeros((5, 3)))
    assert mx.nd.load_frombuffer((ORACLE / "dense.params").read_bytes())["bool"].dtype == np.bool_


def test_a_damaged_file_is_an_mxnet_error_that_names_file_and_offset(tmp_path):
    (tmp_path / "x.params").write_bytes((ORACLE / "dense.params").read_bytes()[:100])
    with pytest.raises(mx.base.MXNetError, match=r"x.params' at offset \d+: "):
        mx.nd.load(str(tmp_path / "x.params"))
    assert issubclass(PSError, mx.base.MXNetError)
