"""RecordIO, against files that MXNet wrote (tests/files/make_oracle.py) and against damage."""

import multiprocessing
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psdist import recordio
from psdist.errors import ClosedError, ConfigError, PSError

from .files import arrays

ORACLE = Path(__file__).parent / "files" / "oracle"


def read_all(path):
    with recordio.MXRecordIO(path, "r") as reader:
        return list(iter(reader.read, None))


def write_all(path, records):
    with recordio.MXRecordIO(path, "w") as writer:
        for record in records:
            writer.write(record)
    return Path(path).read_bytes()


def test_mxnets_records_are_read_and_written_byte_for_byte(tmp_path):
    assert read_all(ORACLE / "records.rec") == arrays.records()
    assert write_all(tmp_path / "x.rec", arrays.records()) == (ORACLE / "records.rec").read_bytes()


def test_mxnets_index_is_read_and_written_byte_for_byte(tmp_path):
    with recordio.MXIndexedRecordIO(ORACLE / "indexed.idx", ORACLE / "indexed.rec", "r") as reader:
        assert reader.keys == [0, 10, 20, 30]
        for i in (2, 0, 3, 1):
            header, data = recordio.unpack(reader.read_idx(10 * i))
            flag, label, number, number2 = arrays.headers()[i]
            assert np.array_equal(header.label, label)
            assert header.flag == (len(label) if isinstance(label, list) else flag)
            assert (header.id, header.id2, data) == (number, number2, b"x" * i)
    with recordio.MXIndexedRecordIO(tmp_path / "x.idx", tmp_path / "x.rec", "w") as writer:
        for i, header in enumerate(arrays.headers()):
            writer.write_idx(10 * i, recordio.pack(recordio.IRHeader(*header), b"x" * i))
    for kind in ("idx", "rec"):
        assert (tmp_path / f"x.{kind}").read_bytes() == (ORACLE / f"indexed.{kind}").read_bytes()


@settings(deadline=None)  # a busy machine is not a failure
@given(
    st.lists(st.lists(st.sampled_from([arrays.MAGIC, b"a", b"bc", b"def", b"\n"]), max_size=9).map(b"".join))
)
def test_every_record_comes_back(tmp_path_factory, records):
    path = tmp_path_factory.mktemp("rec") / "x.rec"
    write_all(path, records)
    assert read_all(path) == records


def test_tell_seek_and_reset_move_among_the_records(tmp_path):
    with recordio.MXIndexedRecordIO(str(tmp_path / "i"), str(tmp_path / "r"), "w", key_type=str) as writer:
        offsets = []
        for key in ("cat", "dog"):
            offsets.append(writer.tell())
            writer.write_idx(key, key.encode())
    with recordio.MXIndexedRecordIO(str(tmp_path / "i"), str(tmp_path / "r"), "r", key_type=str) as reader:
        assert reader.idx == dict(zip(["cat", "dog"], offsets, strict=True))
        reader.seek("dog")
        assert (reader.tell(), reader.read(), reader.read()) == (offsets[1], b"dog", None)
        reader.reset()
        assert reader.read() == b"cat"
        with pytest.raises(PSError, match="has no key 'cow'"):
            reader.read_idx("cow")


def test_resetting_a_writer_starts_an_empty_file(tmp_path):
    with recordio.MXRecordIO(tmp_path / "x.rec", "w") as writer:
        writer.write(b"old")
        writer.reset()
        writer.write(b"new")
    assert read_all(tmp_path / "x.rec") == [b"new"]


def test_what_is_closed_or_open_the_other_way_says_so(tmp_path):
    writer = recordio.MXRecordIO(tmp_path / "x.rec", "w")
    with pytest.raises(PSError, match="is open for writing; open it with flag 'r' to read"):
        writer.read()
    with pytest.raises(PSError, match="is open for writing and cannot be given to another process"):
        pickle.dumps(writer)
    writer.close()
    writer.close()
    assert not writer.is_open
    with pytest.raises(ClosedError, match=r"x.rec' is closed; open\(\) opens it again"):
        writer.write(b"x")
    reader = recordio.MXRecordIO(tmp_path / "x.rec", "r")
    with reader, pytest.raises(PSError, match="is open for reading; open it with flag 'w' to write"):
        reader.write(b"x")
    with pytest.raises(ConfigError, match="MXRecordIO: flag is 'a'; wanted 'r' or 'w'"):
        recordio.MXRecordIO(tmp_path / "x.rec", "a")


def test_a_pickled_reader_starts_over():
    with recordio.MXIndexedRecordIO(ORACLE / "indexed.idx", ORACLE / "indexed.rec", "r") as reader:
        reader.read()
        with pickle.loads(pickle.dumps(reader)) as copy:
            assert copy.read() == reader.read_idx(0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_reader_has_a_position_of_its_own(tmp_path):
    write_all(tmp_path / "x.rec", [b"one", b"two", b"three"])
    with recordio.MXRecordIO(tmp_path / "x.rec", "r") as reader:
        reader.read()
        fork = multiprocessing.get_context("fork")
        theirs, ours = fork.Pipe()
        child = fork.Process(target=lambda: ours.send([reader.read(), reader.read()]))
        child.start()
        assert theirs.poll(30)
        assert theirs.recv() == [b"two", b"three"]
        child.join(30)
        assert reader.read() == b"two"


def test_labels_come_back_as_float32():
    header, rest = recordio.unpack(recordio.pack((0, [1, 2.5], 3, 4), b"data"))
    assert (header.flag, header.label.dtype, header.label.tolist(), rest) == (
        2,
        np.float32,
        [1, 2.5],
        b"data",
    )
    with pytest.raises(PSError, match="a record of 7 bytes; an image record's header alone has 24"):
        recordio.unpack(b"garbage")
    with pytest.raises(PSError, match="a record of 28 bytes has no room for its 2 labels and header"):
        recordio.unpack(recordio.pack((0, [1, 2], 0, 0), b"")[:28])


@pytest.mark.parametrize(("shape", "iscolor"), [((6, 5, 3), 1), ((6, 5), 0), ((6, 5, 3), -1), ((6, 5), -1)])
def test_a_packed_png_comes_back_in_opencvs_channel_order(shape, iscolor):
    img = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    header, back = recordio.unpack_img(recordio.pack_img((0, 1.0, 2, 0), img, 3, ".png"), iscolor)
    assert header == (0, 1.0, 2, 0)
    assert np.array_equal(back, img)


def test_a_packed_image_is_stored_with_red_where_others_look_for_it():
    blue = np.zeros((8, 8, 3), np.uint8)
    blue[:, :, 0] = 255
    _, raw = recordio.unpack(recordio.pack_img((0, 0, 0, 0), blue, 3, ".png"))
    assert recordio.imagefile.decode(raw)[0, 0].tolist() == [0, 0, 255]


# -------------------------------------------------------------------------------------------------- damage


def test_a_file_cut_anywhere_gives_whole_records_and_then_an_error(tmp_path):
    raw = write_all(tmp_path / "x.rec", arrays.records())
    for n in range(len(raw)):
        (tmp_path / "cut.rec").write_bytes(raw[:n])
        got = []
        with recordio.MXRecordIO(tmp_path / "cut.rec", "r") as reader:
            try:
                got.extend(iter(reader.read, None))
            except PSError as e:
                message = str(e)
                assert "cut.rec' at offset " in message
        assert got == arrays.records()[: len(got)]


def damaged(tmp_path, raw):
    (tmp_path / "x.rec").write_bytes(raw)
    with pytest.raises(PSError) as e:
        read_all(tmp_path / "x.rec")
    return str(e.value).split("' at ")[1]


def test_damage_is_named_with_its_offset(tmp_path):
    m = arrays.MAGIC
    whole = m + b"\1\0\0\0a\0\0\0"
    cases = {
        whole + b"oops" * 2: "offset 12: no record starts here: found 6f6f7073, wanted 0a23d7ce",
        whole + m + b"\1": "offset 12: a record's head is cut short: 5 of 8 bytes",
        whole + m + b"\0\0\0\x1f": "offset 12: a record of 520093696 bytes, but 0 bytes follow",
        m + b"\0\0\0\x60": "offset 0: found a last part (kind 3), wanted a whole record or a first part",
        m + b"\0\0\0\x20" + whole: "offset 8: found a whole record (kind 0), wanted a middle or last part",
        m + b"\0\0\0\xe0": "offset 0: found no known kind (kind 7), wanted a whole record or a first part",
        m + b"\0\0\0\x20": "offset 8: a record's head is cut short: 0 of 8 bytes",
    }
    for raw, message in cases.items():
        assert damaged(tmp_path, raw) == message


def test_a_damaged_index_is_named_with_its_line(tmp_path):
    write_all(tmp_path / "x.rec", [b"one"])
    (tmp_path / "x.idx").write_text("0\t0\nsix\t12\n")
    with pytest.raises(PSError, match=r"x.idx' line 2: 'six\\t12'; wanted key<TAB>offset"):
        recordio.MXIndexedRecordIO(tmp_path / "x.idx", tmp_path / "x.rec", "r")
    (tmp_path / "x.idx").write_text("0\t12\n")
    reader = recordio.MXIndexedRecordIO(tmp_path / "x.idx", tmp_path / "x.rec", "r")
    with (
        reader,
        pytest.raises(PSError, match=r"offset 12: the index puts key 0 here, but the file has ended"),
    ):
        reader.read_idx(0)
