"""Images with boxes in them, against MXNet's answers from the same seeds (make_oracle.py)."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

import psdist as mx
from psdist import image
from psdist.errors import BadType, ConfigError, PSError, ShapeError

from . import arrays

ORACLE = Path(__file__).parent / "oracle"
ANSWERS = json.loads((ORACLE / "detection.json").read_text())
ROW = [2, 5, 1, 0.1, 0.2, 0.5, 0.9]  # one object


def test_crops_pads_and_flips_move_boxes_as_mxnet_does():
    picture = mx.nd.array(arrays.images()["bytes"].repeat(3, 0).repeat(3, 1), dtype="uint8")
    answers = iter(ANSWERS["rows"])
    for seed in arrays.DETECTOR_SEEDS:
        for name, args in arrays.DETECTORS:
            random.seed(seed)
            label = arrays.boxes(seed)
            out, moved = getattr(image, name)(*args)(picture, label)
            shape, pixels, wanted, drawn = next(answers)
            assert [list(out.shape), int(out.asnumpy().astype(int).sum())] == [shape, pixels], (seed, name)
            assert random.random() == drawn, (seed, name)
            assert np.allclose(moved, wanted, atol=1e-5), (seed, name)
            assert np.array_equal(label, arrays.boxes(seed)), "the label given was changed"


def test_the_usual_steps_are_mxnets():
    created = image.CreateDetAugmenter((3, 30, 30), **arrays.CREATED_DETECTORS)
    assert [[type(a).__name__, type(getattr(a, "augmenter", a)).__name__] for a in created] == ANSWERS[
        "created"
    ]
    assert [image.DetRandomCropAug().dumps(), image.DetRandomPadAug().dumps()] == ANSWERS["dumps"]
    assert created[0].dumps() == ["detborrowaug", image.ResizeAug(40).dumps()]


def test_images_are_turned_as_mxnet_turns_them():
    picture = mx.nd.array(arrays.images()["floats"].transpose(2, 0, 1))
    for (angle, how), want in zip(arrays.TURNS, ANSWERS["turned"], strict=True):
        assert np.allclose(image.imrotate(picture, angle, **how).asnumpy(), want, atol=2e-5)
    pair = mx.nd.stack(picture, picture)
    both = image.imrotate(pair, mx.nd.array([30.0, 0.0])).asnumpy()
    assert np.allclose(both[0], ANSWERS["turned"][0], atol=2e-5)
    assert np.allclose(both[1], picture.asnumpy(), atol=1e-5)
    assert image.random_rotate(pair, (-10, 10)).shape == pair.shape
    with pytest.raises(BadType, match="src is uint8; wanted float32"):
        image.imrotate(picture.astype("uint8"), 3)
    with pytest.raises(ConfigError, match="zoom_in and zoom_out are both set"):
        image.imrotate(picture, 3, True, True)
    with pytest.raises(ShapeError, match="1 angles for 2 images"):
        image.imrotate(pair, mx.nd.array([1.0]))


def rows(*labels):
    return [[*label, "image_colour.png"] for label in labels]


def test_batches_have_the_boxes_of_each_image_filled_up_with_minus_one():
    two = [2, 5, 1, 0.1, 0.2, 0.5, 0.9, 3, 0, 0, 1, 1]
    it = image.ImageDetIter(2, (3, 8, 9), imglist=rows(ROW, two, ROW), path_root=str(ORACLE))
    assert it.provide_label[0].shape == (2, 2, 5)
    for _ in range(2):
        first, last = list(it)
        assert np.allclose(first.label[0].asnumpy(), [[ROW[2:], [-1] * 5], [two[2:7], two[7:]]])
        assert (first.data[0].shape, last.pad) == ((2, 3, 8, 9), 1)
        it.reset()
    other = image.ImageDetIter(1, (3, 8, 9), imglist=rows(ROW), path_root=str(ORACLE))
    assert it.sync_label_shape(other).provide_label[0].shape == (1, 2, 5)
    it.reshape((3, 4, 4), (5, 5))
    assert (it.provide_data[0].shape, next(it).label[0].shape) == ((2, 3, 4, 4), (2, 5, 5))


def test_every_augmentation_together_gives_boxes_within_the_image(tmp_path):
    listed = tmp_path / "boxes.lst"
    lines = ["\t".join(map(str, [i, *ROW, "image_colour.png"])) for i in range(4)]
    listed.write_text("\n".join(lines))
    it = image.ImageDetIter(
        2,
        (3, 30, 30),
        path_imglist=str(listed),
        path_root=str(ORACLE),
        shuffle=True,
        **arrays.CREATED_DETECTORS,
    )
    for batch in it:
        boxes = batch.label[0].asnumpy()[..., 1:]
        assert ((boxes == -1) | ((boxes >= 0) & (boxes <= 1))).all()


def test_wrong_labels_are_named():
    for label, words in (
        ([2, 5, 1, 0.1], "has 4 numbers; wanted A, B"),
        ([2, 5, 1, 0.1, 0.2, 0.5, 0.9, 7], "says that 2 numbers come before objects of 5, but has 8"),
        ([2, 5, 1, 0.5, 0.2, 0.5, 0.9], "has no object whose box is not empty"),
    ):
        with pytest.raises(PSError, match=f"image '1' {words}"):
            image.ImageDetIter(1, (3, 8, 8), imglist=rows(label), path_root=str(ORACLE))
    it = image.ImageDetIter(1, (3, 8, 8), imglist=rows(ROW), path_root=str(ORACLE))
    with pytest.raises(ConfigError, match=r"label_shape is \(3, 6\); the labels want \(1, 5\) at least"):
        it.reshape(label_shape=(3, 6))
    with pytest.raises(BadType, match="aug_list; wanted DetAugmenters"):
        image.DetRandomSelectAug([image.CastAug()])
    with pytest.raises(ConfigError, match="aspect_ratio_range is"):
        image.DetRandomCropAug(aspect_ratio_range=(2, 1))
