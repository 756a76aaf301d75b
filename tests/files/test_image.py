"""mx.image, against what MXNet makes of the same picture with the same seeds (make_oracle.py)."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

from psdist import image, recordio
from psdist.errors import ConfigError, PSError, ShapeError
from psdist.ndarray import NDArray, array

from . import arrays

ORACLE = Path(__file__).parent / "oracle"
ANSWERS = np.load(ORACLE / "augmenters.npz")
PICTURE = arrays.images()["bytes"]


def seeded(call, *args, **kwargs):
    random.seed(3)
    np.random.seed(3)
    answer = call(*args, **kwargs)
    return answer[0] if isinstance(answer, tuple) else answer


def same(answer, key, tolerance):
    assert isinstance(answer, NDArray)
    assert answer.dtype == ANSWERS[key].dtype
    assert answer.shape == ANSWERS[key].shape
    assert np.abs(answer.asnumpy().astype(float) - ANSWERS[key]).max() <= tolerance


@pytest.mark.parametrize("i", range(len(arrays.FUNCTIONS)), ids=[f[0] for f in arrays.FUNCTIONS])
def test_functions_give_mxnets_pixels(i):
    name, args, kwargs = arrays.FUNCTIONS[i]
    same(seeded(getattr(image, name), array(PICTURE, dtype="uint8"), *args, **kwargs), f"function {i}", 1)


@pytest.mark.parametrize("i", range(len(arrays.AUGMENTERS)), ids=[a[0] for a in arrays.AUGMENTERS])
def test_augmenters_give_mxnets_pixels(i):
    name, args = arrays.AUGMENTERS[i]
    picture = array(PICTURE, dtype="float32")
    same(seeded(getattr(image, name)(*args), picture), f"augmenter {i}", 1e-3)
    assert np.array_equal(picture.asnumpy(), PICTURE)


@pytest.mark.parametrize("i", range(len(arrays.CREATED)))
def test_create_augmenter_makes_mxnets_list(i):
    shape, kwargs = arrays.CREATED[i]
    augs = image.CreateAugmenter(shape, **kwargs)
    assert [type(a).__name__ for a in augs] == ANSWERS[f"names {i}"].tolist()
    same(seeded(image.SequentialAug(augs), array(PICTURE, dtype="uint8")), f"created {i}", 1.5)


def test_an_augmenter_dumps_its_name_and_parameters():
    assert json.loads(image.ResizeAug(9, 1).dumps()) == ["resizeaug", {"size": 9, "interp": 1}]
    assert json.loads(image.ColorNormalizeAug(np.zeros(3), None).dumps())[1] == {
        "mean": [0, 0, 0],
        "std": None,
    }


def test_files_are_read_in_either_channel_order_or_grey():
    path = ORACLE / "image_colour.png"
    rgb = image.imread(path).asnumpy()
    assert rgb[12, 12].tolist() == [255, 0, 0]
    assert image.imread(str(path), to_rgb=False).asnumpy()[12, 12].tolist() == [0, 0, 255]
    assert image.imread(path, flag=0).shape == (48, 64, 1)
    raw = np.frombuffer(path.read_bytes(), np.uint8)
    assert np.array_equal(image.imdecode(raw).asnumpy(), rgb)
    assert np.array_equal(image.imdecode(array(raw, dtype="uint8")).asnumpy(), rgb)


def test_functions_and_classes_have_mxnet_s_longer_path():
    assert image.image.imread is image.imread
    assert image.image.ImageIter is image.ImageIter


def test_wrong_images_and_arguments_are_named(tmp_path):
    with pytest.raises(PSError, match=r"imread: there is no file '/nowhere/x\.jpg'") as raised:
        image.imread("/nowhere/x.jpg")
    assert isinstance(raised.value, FileNotFoundError)
    (tmp_path / "x.jpg").write_bytes(b"nothing")
    with pytest.raises(PSError, match=r"x.jpg' of 7 bytes cannot be decoded"):
        image.imread(tmp_path / "x.jpg")
    with pytest.raises(ShapeError, match=r"an image of shape \(2, 2\); wanted \(height, width, channels\)"):
        image.imresize(np.zeros((2, 2)), 1, 1)
    with pytest.raises(ConfigError, match=r"fixed_crop: 9 x 9 at \(8, 0\) leaves the image of 14 x 10"):
        image.fixed_crop(PICTURE, 8, 0, 9, 9)
    with pytest.raises(ConfigError, match="rand_resize is a way of rand_crop; set rand_crop=True too"):
        image.CreateAugmenter((3, 6, 6), rand_resize=True)


# -------------------------------------------------------------------------------------------------- ImageIter


def labels_of(it):
    return [(batch.label[0].asnumpy().tolist(), batch.pad) for batch in it]


def test_records_are_iterated_over_with_the_last_batch_filled_up():
    it = image.ImageIter(3, (3, 8, 9), path_imgrec=ORACLE / "images.rec")
    assert labels_of(it) == [([0, 1, 2], 0), ([3, 0, 1], 2)]
    it.reset()
    batch = it.next()
    assert batch.data[0].shape == it.provide_data[0].shape == (3, 3, 8, 9)
    middle = image.center_crop(arrays.record_images()[0], (9, 8))[0].asnumpy()
    assert np.array_equal(
        batch.data[0].asnumpy()[0], middle[:, :, ::-1].transpose(2, 0, 1)
    )  # blue came first
    it.close()
    it.close()


@pytest.mark.parametrize(
    ("handle", "epochs"),
    [
        ("pad", [[([0, 1, 2], 0), ([3, 0, 1], 2)], [([0, 1, 2], 0), ([3, 0, 1], 2)]]),
        ("discard", [[([0, 1, 2], 0)], [([0, 1, 2], 0)]]),
        ("roll_over", [[([0, 1, 2], 0)], [([3, 0, 1], 2)]]),  # MXNet 1.9.1 counts what it did not keep
    ],
)
def test_the_last_batch_is_handled_as_asked(handle, epochs):
    it = image.ImageIter(3, (3, 8, 8), path_imgrec=ORACLE / "images.rec", last_batch_handle=handle)
    for wanted in epochs:
        assert labels_of(it) == wanted
        it.reset()
    it.hard_reset()
    assert it.next().label[0].asnumpy().tolist() == [0, 1, 2]
    it.close()


def test_lists_give_labels_and_files():
    rows = [[0.5, "image_colour.png"], [1.5, "image_grey.jpg"], [2.5, "image_deep.png"]]
    it = image.ImageIter(1, (3, 40, 40), imglist=rows, path_root=ORACLE)
    assert labels_of(it) == [([0.5], 0), ([1.5], 0), ([2.5], 0)]
    two = image.ImageIter(
        1, (1, 40, 40), label_width=2, imglist=[[[1, 2], "image_grey.png"]], path_root=ORACLE
    )
    batch = two.next()
    assert (batch.data[0].shape, batch.label[0].asnumpy().tolist()) == ((1, 1, 40, 40), [[1, 2]])


def test_a_list_file_labels_records_by_their_ids_and_parts_share_them():
    labels = []
    for k in range(2):
        it = image.ImageIter(
            2,
            (3, 8, 8),
            label_width=2,
            path_imgrec=ORACLE / "images.rec",
            path_imgidx=ORACLE / "images.recidx",
            path_imglist=ORACLE / "images.lst",
            num_parts=2,
            part_index=k,
        )
        labels += labels_of(it)
        it.close()
    assert labels == [([[0.5, 0], [1.5, -1]], 0), ([[2.5, -2], [3.5, -3]], 0)]


def test_shuffling_keeps_every_image():
    random.seed(0)
    it = image.ImageIter(1, (3, 8, 8), path_imgrec=ORACLE / "images.rec", shuffle=True)
    orders = []
    for _ in range(5):
        orders.append([label[0] for label, _ in labels_of(it)])
        it.reset()
    assert all(sorted(order) == [0, 1, 2, 3] for order in orders)
    assert orders[0] != orders[1]
    it.close()


def test_what_does_not_fit_the_batch_is_named(tmp_path):
    with pytest.raises(ConfigError, match="ImageIter: no images; give path_imgrec, path_imglist or imglist"):
        image.ImageIter(1, (3, 8, 8))
    rows = [[1, "image_grey.jpg"]]
    it = image.ImageIter(1, (3, 8, 8), imglist=rows, path_root=ORACLE, aug_list=[])
    with pytest.raises(
        ShapeError, match=r"image '1' has shape \(3, 48, 64\) after augmentation; data_shape is"
    ):
        it.next()
    it = image.ImageIter(1, (3, 8, 8), label_width=2, imglist=rows, path_root=ORACLE)
    with pytest.raises(ShapeError, match="image '1' has 1 labels; label_width is 2"):
        it.next()
    (tmp_path / "x.lst").write_text("0\tcat\tx.jpg\n")
    with pytest.raises(PSError, match=r"x.lst' line 1: .*wanted id<TAB>label …<TAB>path"):
        image.ImageIter(1, (3, 8, 8), path_imglist=tmp_path / "x.lst")
    with recordio.MXRecordIO(tmp_path / "x.rec", "w") as out:
        out.write(recordio.pack((0, 1.0, 0, 0), b"no image"))
    it = image.ImageIter(1, (3, 8, 8), path_imgrec=tmp_path / "x.rec")
    with pytest.raises(PSError, match="image 0 of 8 bytes cannot be decoded"):
        it.next()
    it.close()
