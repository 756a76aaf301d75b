"""Iterators over files: every batch of three epochs against MXNet's (make_oracle.py), and damage."""

import gzip
from pathlib import Path
from struct import pack

import numpy as np
import pytest

from psdist import recordio
from psdist.errors import ClosedError, ConfigError, PSError
from psdist.io.csv import CSVIter
from psdist.io.image_record import ImageRecordInt8Iter, ImageRecordIter, ImageRecordUInt8Iter
from psdist.io.libsvm import LibSVMIter
from psdist.io.mnist import MNISTIter

from . import arrays

ORACLE = Path(__file__).parent / "oracle"
ANSWERS = np.load(ORACLE / "iterators.npz")
KINDS = {c.__name__: c for c in (CSVIter, LibSVMIter, MNISTIter, ImageRecordIter)}
REC = ORACLE / "images.rec"


@pytest.mark.parametrize(
    ("name", "kind", "arguments"), arrays.ITERATORS, ids=[i[0] for i in arrays.ITERATORS]
)
def test_every_batch_of_three_epochs_is_mxnets(name, kind, arguments):
    it = KINDS[kind](**arrays.with_paths(arguments, ORACLE))
    for epoch in range(3):
        batches = list(it)
        assert len(batches) == len([k for k in ANSWERS.files if k.startswith(f"{name}/{epoch}/")]) / 3
        for i, batch in enumerate(batches):
            key = f"{name}/{epoch}/{i}"
            real = (
                it.batch_size - batch.pad if "pad" in name else it.batch_size
            )  # MXNet's filler is leftovers
            assert batch.pad == ANSWERS[key + "/pad"]
            for array, what, desc in (
                (batch.data[0], "data", it.provide_data[0]),
                (batch.label[0], "label", it.provide_label[0]),
            ):
                answer = ANSWERS[f"{key}/{what}"]
                assert array.dtype == answer.dtype == desc.dtype
                assert array.shape == answer.shape == desc.shape
                difference = np.abs(array.asnumpy()[:real].astype(float) - answer[:real]).max()
                assert difference <= (
                    1 if kind == "ImageRecordIter" else 0
                )  # a resized pixel may be off by one
        it.reset()
    if kind == "ImageRecordIter":
        it.close()


def test_data_and_label_have_the_names_that_are_asked_for():
    it = CSVIter(ORACLE / "rows.csv", (3,), 2, data_name="x", label_name="y")
    assert (it.provide_data[0].name, it.provide_label[0].name) == ("x", "y")
    assert it.iter_next()
    assert it.getdata().asnumpy().tolist() == [[0, 1, 2], [3, 4, 5]]
    assert (it.getlabel().shape, it.getpad(), it.getindex().tolist()) == ((2,), 0, [0, 1])


def test_a_reset_midway_starts_at_the_first_sample():
    csv = CSVIter(ORACLE / "rows.csv", (3,), 3)
    with ImageRecordIter(REC, (3, 8, 9), 3) as rec:
        for it in (csv, rec):
            first = it.next().data[0].asnumpy()
            it.reset()
            assert np.array_equal(it.next().data[0].asnumpy(), first)


@pytest.mark.parametrize("num_parts", [1, 2, 3, 4])
def test_the_parts_make_up_the_whole_and_share_nothing(num_parts):
    labels = []
    for k in range(num_parts):
        with ImageRecordIter(REC, (3, 8, 8), 1, num_parts=num_parts, part_index=k) as it:
            labels += [float(batch.label[0].asnumpy()[0]) for batch in it]
    assert labels == [0, 1, 2, 3]
    lines = [
        batch.label[0].asnumpy()[0]
        for k in range(num_parts)
        for batch in LibSVMIter(ORACLE / "rows.svm", (3,), 1, num_parts=num_parts, part_index=k)
    ]
    assert lines == [1, 0, 2, 3, 5]


RANDOM = {
    "rand_crop": True,
    "rand_mirror": True,
    "max_rotate_angle": 20,
    "max_shear_ratio": 0.1,
    "max_random_scale": 1.5,
    "max_aspect_ratio": 0.2,
    "brightness": 0.3,
    "contrast": 0.3,
    "saturation": 0.3,
    "pca_noise": 0.1,
    "random_h": 20,
    "random_s": 20,
    "random_l": 20,
    "max_random_contrast": 0.2,
    "max_random_illumination": 5.0,
    "inter_method": 10,
}


def epochs(**arguments):
    with ImageRecordIter(REC, (3, 8, 9), 3, shuffle=True, **{**RANDOM, **arguments}) as it:
        out = []
        for _ in range(3):
            out += [(b.data[0].asnumpy().tobytes(), b.index.tolist()) for b in it]
            it.reset()
        return out


def test_augmentation_depends_on_the_seed_and_not_on_the_threads():
    one = epochs(seed=5, preprocess_threads=1, prefetch_buffer=1)
    assert epochs(seed=5, preprocess_threads=4, prefetch_buffer=9) == one
    assert epochs(seed=6) != one
    assert len({data for data, _ in one}) == len(one)


def test_each_epoch_has_every_sample_once_in_a_new_order():
    with ImageRecordIter(REC, (3, 8, 9), 2, shuffle=True, seed=1) as it:
        orders = []
        for _ in range(6):
            orders.append(tuple(n for b in it for n in b.index.tolist()))
            it.reset()
    assert all(sorted(order) == [0, 1, 2, 3] for order in orders)
    assert len(set(orders)) > 1


def test_random_crops_by_area_fill_the_sample():
    with ImageRecordIter(REC, (3, 8, 9), 4, random_resized_crop=True, min_random_area=0.2) as it:
        assert it.next().data[0].shape == (4, 3, 8, 9)


def test_raw_pixels_come_as_bytes():
    with ImageRecordUInt8Iter(REC, (3, 8, 9), 4) as raw, ImageRecordInt8Iter(REC, (3, 8, 9), 4) as signed:
        a, b = raw.next().data[0].asnumpy(), signed.next().data[0].asnumpy()
    assert (a.dtype, b.dtype) == (np.uint8, np.int8)
    assert np.array_equal(a.astype(int) - 128, b)


def test_a_mean_image_is_made_once_and_then_subtracted(tmp_path):
    path = tmp_path / "mean.params"
    shape = (3, 8, 8)
    with ImageRecordIter(REC, shape, 4, mean_img=path) as it:
        assert np.abs(it.next().data[0].asnumpy().mean(axis=0)).max() < 1e-3
    made = path.read_bytes()
    with ImageRecordIter(REC, shape, 4, mean_img=path) as it:
        assert np.abs(it.next().data[0].asnumpy().mean(axis=0)).max() < 1e-3
    assert path.read_bytes() == made
    with pytest.raises(ConfigError, match=r"mean.params' has no array 'mean_img' of shape \(3, 9, 9\)"):
        ImageRecordIter(REC, (3, 9, 9), 4, mean_img=path)


def test_mnist_is_shuffled_once_by_its_seed():
    def labels(seed):
        it = MNISTIter(ORACLE / "images.idx", ORACLE / "labels.idx", 7, seed=seed, silent=True)
        first = it.next().label[0].asnumpy().tolist()
        it.reset()
        assert it.next().label[0].asnumpy().tolist() == first
        return first

    assert labels(1) == labels(1) != labels(2)
    assert sorted(labels(1)) == list(range(7))


def test_gzipped_idx_files_are_read_whatever_their_name(tmp_path):
    for name in ("images.idx", "labels.idx"):
        (tmp_path / name).write_bytes(gzip.compress((ORACLE / name).read_bytes()))
    it = MNISTIter(tmp_path / "images.idx", tmp_path / "labels.idx", 7, shuffle=False, silent=True)
    assert it.next().label[0].asnumpy().tolist() == list(range(7))


def test_gzipped_csv_and_libsvm_files_are_read(tmp_path):
    for name in ("rows.csv", "rows.svm"):
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress((ORACLE / name).read_bytes()))
    assert CSVIter(tmp_path / "rows.csv.gz", (3,), 7).next().data[0].asnumpy()[6].tolist() == [18, 19, 20]
    assert LibSVMIter(tmp_path / "rows.svm.gz", (3,), 5).next().label[0].asnumpy().tolist() == [1, 0, 2, 3, 5]


# -------------------------------------------------------------------------------------------------- damage


def test_a_closed_iterator_says_so():
    it = ImageRecordIter(REC, (3, 8, 9), 2)
    it.close()
    it.close()
    for use in (it.next, it.reset):
        with pytest.raises(ClosedError, match="ImageRecordIter: used after close"):
            use()


def test_an_image_that_cannot_be_decoded_is_named_by_its_offset(tmp_path):
    with recordio.MXRecordIO(tmp_path / "x.rec", "w") as out:
        out.write(recordio.pack((0, 1.0, 0, 0), b"no image"))
        out.write(b"short")
    with ImageRecordIter(tmp_path / "x.rec", (3, 8, 8), 1) as it:
        with pytest.raises(PSError, match=r"x.rec' at offset 0: the image of 8 bytes cannot be decoded"):
            it.next()
        with pytest.raises(
            PSError, match=r"x.rec' at offset 40: a record of 5 bytes; an image record's header"
        ):
            it.next()


def message(kind, *args, **kwargs):
    with pytest.raises(PSError) as e:
        kind(*args, silent=True, **kwargs) if kind is MNISTIter else kind(*args, **kwargs)
    return str(e.value)


def test_an_argument_that_an_iterator_does_not_know_is_told_to_the_log_and_ignored(caplog):
    with ImageRecordIter(REC, (3, 8, 8), 1, rand_corp=True, label_pad=1):
        pass
    assert [r.getMessage() for r in caplog.records] == [
        "ImageRecordIter: no argument 'label_pad'",
        "ImageRecordIter: no argument 'rand_corp'; did you mean 'rand_crop'?",
    ]


def test_wrong_arguments_are_named(tmp_path):
    assert "data_shape is (8, 8, 3); wanted (1, 3 or 4, height, width)" in message(
        ImageRecordIter, REC, (8, 8, 3), 1
    )
    assert "part_index 2 of num_parts 2; wanted 0 <= index < parts" in message(
        ImageRecordIter, REC, (3, 8, 8), 1, num_parts=2, part_index=2
    )
    assert "batch_size is 0; wanted 1 or more" in message(CSVIter, ORACLE / "rows.csv", (3,), 0)
    assert "inter_method is 8; wanted 0 to 4, 9 (by size) or 10 (random)" in message(
        ImageRecordIter, REC, (3, 8, 8), 1, inter_method=8
    )
    assert "round_batch is False; only True is possible" in message(
        LibSVMIter, ORACLE / "rows.svm", (3,), 2, round_batch=False
    )
    (tmp_path / "empty.rec").write_bytes(b"")
    assert "there is no sample" in message(ImageRecordIter, tmp_path / "empty.rec", (3, 8, 8), 1)


def test_labels_that_do_not_fit_are_named():
    with ImageRecordIter(REC, (3, 8, 8), 1, label_width=2) as it, pytest.raises(ConfigError) as e:
        it.next()
    assert str(e.value).endswith("images.rec' at offset 0: 1 labels, but label_width is 2")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1,2,3\n4,5\n", "the number of columns changed from 3 to 2 at row 2"),
        ("1,2,x\n", "could not convert string 'x' to float32 at row 0, column 3"),
        ("1,2\n", "its lines have 2 numbers, but shape (3,) needs 3"),
        ("", "is empty; wanted lines of 3 numbers with commas between"),
    ],
)
def test_a_damaged_csv_file_is_named_with_its_line(tmp_path, text, wanted):
    (tmp_path / "x.csv").write_text(text)
    said = message(CSVIter, tmp_path / "x.csv", (3,), 1)
    assert "x.csv'" in said
    assert wanted in said


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1 0:1\n1 3:1\n", "x.svm' line 2: a column outside 0..2, which the shape allows"),
        ("1 0:1\n1 -1:1\n", "x.svm' line 2: a column outside 0..2, which the shape allows"),
        ("1 a:1\n", "x.svm' line 1: invalid literal for int() with base 10: 'a'; wanted: label column:value"),
        ("# nothing\n", "x.svm' is empty; wanted lines of: label column:value"),
    ],
)
def test_a_damaged_libsvm_file_is_named_with_its_line(tmp_path, text, wanted):
    (tmp_path / "x.svm").write_text(text)
    assert wanted in message(LibSVMIter, tmp_path / "x.svm", (3,), 1)


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        (b"\0\0", "' at offset 0: its header is cut short, 2 of 16 bytes"),
        (
            pack(">4I", 0x801, 1, 1, 1),
            "' at offset 0: not an IDX file of bytes in 3 dimensions: it starts with 0x801",
        ),
        (
            pack(">4I", 0x803, 2**31, 2**31, 9),
            f"(2147483648, 2147483648, 9) needs {9 * 2**62} bytes, 0 follow",
        ),
        (pack(">4I", 0x803, 1, 1, 1) + b"ab", "' at offset 16: shape (1, 1, 1) needs 1 bytes, more follow"),
        (
            gzip.compress(pack(">4I", 0x803, 30, 1, 1) + bytes(range(30)), mtime=0)[:-9],
            "': its gzip stream is damaged: ",
        ),
    ],
)
def test_a_damaged_idx_file_is_named_with_its_offset(tmp_path, raw, wanted):
    (tmp_path / "x.idx").write_bytes(raw)
    assert wanted in message(MNISTIter, tmp_path / "x.idx", ORACLE / "labels.idx", 1)
