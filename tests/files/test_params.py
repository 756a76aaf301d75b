"""MXNet's .params files: against fixtures that MXNet 1.9.1 wrote (make_oracle.py), and against damage."""

import tracemalloc
from pathlib import Path
from struct import pack

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from psdist.errors import PSError, ShapeError
from psdist.ndarray.params import CSR, RowSparse, dump_params, load_params, save_params

from . import arrays

ORACLE = Path(__file__).parent / "oracle"
FIXTURES = sorted(ORACLE.glob("*.params"))


def same(a, b):
    """Equal in type, shape and every bit."""
    if isinstance(a, RowSparse):
        return a.shape == b.shape and same(a.data, b.data) and same(a.indices, b.indices)
    if isinstance(a, CSR):
        fields = (a.data, b.data), (a.indptr, b.indptr), (a.indices, b.indices)
        return a.shape == b.shape and all(same(x, y) for x, y in fields)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def test_there_is_a_fixture_of_every_layout():
    assert {p.stem for p in FIXTURES} >= {"dense", "list", "nothing", "np_shape", "sparse", "v0", "v1"}


def test_every_dtype_loads_bit_for_bit():
    loaded = load_params(ORACLE / "dense.params")
    assert list(loaded) == arrays.DTYPES
    for dtype, array in loaded.items():
        assert same(array, arrays.dense(dtype)), dtype
        assert array.flags.writeable
        assert array.flags.owndata


@pytest.mark.parametrize("layout", ["v0", "v1"])
def test_the_layouts_before_storage_types_load(layout):
    loaded = load_params(str(ORACLE / f"{layout}.params"))
    assert list(loaded) == ["a", "b", "c"]
    assert all(map(same, loaded.values(), arrays.plain()))


def test_a_file_without_names_is_a_list():
    loaded = load_params(ORACLE / "list.params")
    assert isinstance(loaded, list)
    assert all(map(same, loaded, arrays.plain()))
    assert load_params(ORACLE / "nothing.params") == []


@pytest.mark.parametrize("dtype", arrays.SPARSE_DTYPES)
def test_sparse_arrays_load_bit_for_bit(dtype):
    loaded = load_params(ORACLE / "sparse.params")
    assert same(loaded["rows_" + dtype], RowSparse(*arrays.row_sparse(dtype)))
    assert same(loaded["csr_" + dtype], CSR(*arrays.csr(dtype)))


def test_sparse_arrays_without_values_load():
    loaded = load_params(ORACLE / "sparse.params")
    no_rows, no_values = loaded["no_rows"], loaded["no_values"]
    assert (no_rows.shape, no_rows.data.shape, no_rows.indices.shape) == ((5, 3), (0, 3), (0,))
    assert (no_values.shape, no_values.data.shape, no_values.indptr.tolist()) == ((2, 3), (0,), [0, 0, 0])


def test_numpy_shapes_load():
    loaded = load_params(ORACLE / "np_shape.params")
    assert same(loaded["number"], np.array(7, np.float32))
    assert loaded["none"].shape == (0, 3)


@pytest.mark.parametrize("name", ["dense", "list", "sparse", "nothing"])
def test_what_is_saved_is_byte_for_byte_what_mxnet_saved(name, tmp_path):
    path = ORACLE / f"{name}.params"
    save_params(tmp_path / "again", load_params(path))
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_bfloat16_becomes_the_float32_of_equal_value():
    head = pack("<QQQIiiqiii", 0x112, 0, 1, 0xF993FAC9, 0, 1, 2, 1, 0, 12)
    loaded = load_params(head + pack("<HHQ", 0x3F80, 0xC049, 0))
    assert same(loaded[0], np.array([1, -3.140625], np.float32))


@settings(deadline=None)  # a busy machine is not a failure
@given(
    hnp.arrays(
        st.sampled_from([*arrays.DTYPES, ">f4", ">i8"]),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3),
    ),
    st.text(st.characters(codec="utf-8"), max_size=8),
)
def test_every_array_and_name_comes_back(array, name):
    (key, loaded), *rest = load_params(dump_params({name: array.T})).items()
    assert (key, rest) == (name, [])
    assert same(
        loaded, np.ascontiguousarray(array.T).reshape(array.T.shape).astype(array.dtype.newbyteorder("<"))
    )


def test_a_failed_save_leaves_the_old_file_whole(tmp_path):
    path = tmp_path / "x.params"
    save_params(path, [np.ones(3, np.float32)])
    before = path.read_bytes()
    with pytest.raises(
        ShapeError, match=r"array 'w' is complex64, which a .params file cannot hold; cast it"
    ):
        save_params(path, {"w": np.ones(3, np.complex64)})
    with pytest.raises(UnicodeEncodeError):
        save_params(path, {"\udc80": np.ones(3, np.float32)})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_saving_through_a_link_keeps_the_link(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "x.params")
    save_params(tmp_path / "link", [np.ones(3, np.float32)])
    assert (tmp_path / "link").is_symlink()
    assert same(load_params(tmp_path / "x.params")[0], np.ones(3, np.float32))


# -------------------------------------------------------------------------------------------------- damage


@pytest.mark.parametrize("path", FIXTURES, ids=lambda p: p.stem)
def test_a_file_cut_anywhere_is_an_error_that_names_the_offset(path):
    raw = path.read_bytes()
    for n in range(len(raw)):
        with pytest.raises(PSError, match=r"^bytes at offset \d+: "):
            load_params(raw[:n])


@pytest.mark.parametrize("path", FIXTURES, ids=lambda p: p.stem)
def test_a_flipped_bit_gives_arrays_or_an_error_and_never_much_memory(path):
    raw = bytearray(path.read_bytes())
    tracemalloc.start()
    try:
        for i in range(len(raw)):
            bit = 1 << (i * 5 % 8)
            raw[i] ^= bit
            arrays_or_message(raw)
            raw[i] ^= bit
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@settings(deadline=None)  # a busy machine is not a failure
@given(st.binary(max_size=200), st.sampled_from(FIXTURES), st.data())
def test_garbage_in_the_middle_gives_arrays_or_an_error(garbage, path, data):
    raw = path.read_bytes()
    at = data.draw(st.integers(0, len(raw)))
    arrays_or_message(raw[:at] + garbage + raw[at + len(garbage) :])


def arrays_or_message(raw):
    try:
        return load_params(raw)
    except PSError as e:
        return str(e)


CPU_F4 = pack("<iii", 1, 0, 0)  # device and dtype
NO_NAMES = pack("<Q", 0)


def v2(storage, *shape):
    return pack(f"<Iii{len(shape)}q", 0xF993FAC9, storage, len(shape), *shape)


def sparse(storage, stored, shape, *aux):
    raw = pack(f"<Iii{len(stored)}q", 0xF993FAC9, storage, len(stored), *stored)
    raw += pack(f"<i{len(shape)}q", len(shape), *shape) + CPU_F4
    return raw + b"".join(pack("<iiq", 6, 1, n) for n in aux)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (v2(0, 2**40, 2**40) + CPU_F4,
         f"64: array 0 of 1, float32 of shape ({2**40}, {2**40}), needs {2**82} bytes, but 0 follow"),
        (v2(0, 0, 2**62) + CPU_F4 + NO_NAMES, "64: array 0 of 1 has the impossible shape (0, 46116860184273"),
        (v2(0, -1) + CPU_F4, "36: array 0 of 1 has the shape (-1,); a size cannot be negative"),
        (v2(0) + CPU_F4, "24: array 0 of 1 has no shape: it was saved before it had a value"),
        (v2(7, 1) + CPU_F4, "28: array 0 of 1 has storage type 7; known are 0 (dense), 1 (row_sparse), 2 (c"),
        (pack("<Iii", 0xF993FAC9, 0, 33) + bytes(12), "32: array 0 of 1 has 33 dimensions; at most 32 are p"),
        (pack("<I", 0xDEAD) + bytes(20), "24: array 0 of 1 starts with 0xdead, no known version and no numb"),
        (v2(0, 1) + pack("<iii", 1, 0, 9) + bytes(4), "52: array 0 of 1 has dtype 9; known are 0 (float32),"),
        (v2(0, 2) + pack("<iii", 1, 0, 7) + b"\1\2" + NO_NAMES,
         "57: array 0 of 1, bool of shape (2,), holds a bool that is neither 0 nor 1"),
        (v2(0, 1) + CPU_F4 + pack("<fQ", 1, 2), "60: 2 names for 1 arrays; wanted one each, or none"),
        (v2(0, 1) + CPU_F4 + pack("<fQ", 1, 0) + b"x", "68: 1 bytes follow the last name; wanted the end of"),
        (v2(0, 1) + CPU_F4 + pack("<fQQ", 1, 1, 2**63), "76: name 0 needs 9223372036854775808 bytes, but 0"),
        (v2(0, 1) + CPU_F4 + pack("<fQQ", 1, 1, 2) + b"a\xff", "77: name 0 is not UTF-8: invalid start byte"),
        (sparse(1, (1, 2), (5, 2), 1) + pack("<ffqQ", 1, 2, 5, 0),
         "108: the row indices of array 0 of 1 do not ascend within 0..4"),
        (sparse(1, (1, 3), (5, 2), 1) + bytes(50), "84: array 0 of 1, (5, 2), stores (1, 3): 1 row indices"),
        (sparse(2, (1,), (1, 2), 2, 1) + pack("<fqqqQ", 1, 0, 2, 0, 0),
         "112: the row pointers of array 0 of 1 do not ascend from 0 to 1"),
        (sparse(2, (1,), (1, 2), 2, 1) + pack("<fqqqQ", 1, 0, 1, 2, 0),
         "128: the column indices of array 0 of 1 leave 0..1"),
        (sparse(2, (1,), (1, 2), 9, 1) + bytes(90), "76: array 0 of 1, (1, 2), stores (1,): 1 columns, 9 ro"),
    ],
)  # fmt: skip
def test_a_damaged_array_says_what_is_wrong_and_where(raw, message):
    with pytest.raises(PSError) as e:
        load_params(pack("<QQQ", 0x112, 0, 1) + raw)
    assert str(e.value).startswith("bytes at offset " + message)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"PK\3\4" + bytes(20), "0: not a .params file: it starts with 0x4034b50, wanted 0x112"),
        (pack("<QQQ", 0x112, 0, 2**60), f"16: {2**60} arrays cannot stand in the 0 bytes that follow"),
    ],
)
def test_a_damaged_header_says_what_is_wrong_and_where(raw, message):
    with pytest.raises(PSError) as e:
        load_params(raw)
    assert str(e.value) == "bytes at offset " + message


def test_a_name_given_twice_is_refused():
    raw = dump_params({"a": np.ones(1, np.float32), "b": np.ones(1, np.float32)})
    with pytest.raises(PSError, match="name 1, 'a', was already given to another array"):
        load_params(raw[:-1] + b"a")


def test_an_error_names_the_file(tmp_path):
    (tmp_path / "x.params").write_bytes(b"short")
    with pytest.raises(PSError, match=r"x.params' at offset 0: the header needs 16 bytes, but 5 follow"):
        load_params(tmp_path / "x.params")
    with pytest.raises(FileNotFoundError):
        load_params(tmp_path / "none.params")
