"""ImageDetRecordIter: MXNet's labels and pixels, and what the augmentations do to boxes."""

import numpy as np
import pytest

from psdist import imagefile, io, recordio
from psdist.errors import ConfigError, PSError
from psdist.io.det_augment import DetAugment

SIZES = [(30, 40), (31, 40), (32, 40)]
OBJECTS = [1, 3, 2]


@pytest.fixture
def rec(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "det.rec"
    with recordio.MXRecordIO(path, "w") as file:
        for k, (size, count) in enumerate(zip(SIZES, OBJECTS, strict=True)):
            boxes = [[k + j, 0.1 * j + 0.1, 0.2, 0.1 * j + 0.4, 0.6] for j in range(count)]
            label = np.array([2, 5, *np.ravel(boxes)], np.float32)
            raw = imagefile.encode(rng.integers(0, 255, (*size, 3), dtype=np.uint8), ".png")
            file.write(recordio.pack(recordio.IRHeader(0, label, k, 0), raw))
    return path


def labels(rec, **kwargs):
    with io.ImageDetRecordIter(path_imgrec=rec, data_shape=(3, 20, 24), batch_size=3, **kwargs) as it:
        return next(it).label[0].asnumpy()


def test_a_label_says_the_image_s_size_and_then_its_own_numbers(rec):
    with io.ImageDetRecordIter(path_imgrec=rec, data_shape=(3, 20, 24), batch_size=2) as it:
        assert it.provide_data[0].shape == (2, 3, 20, 24)
        assert it.provide_label[0].shape == (2, 4 + 17)  # MXNet 1.9.1: the longest label, and four before it
        first, second = it
        assert first.label[0].asnumpy()[0, :12].tolist() == pytest.approx(
            [3, 20, 24, 7, 2, 5, 0, 0.1, 0.2, 0.4, 0.6, -1]
        )
        assert first.label[0].asnumpy()[:, 3].tolist() == [7, 17]
        assert second.pad == 1
    assert labels(rec, label_pad_width=30, label_pad_value=-2).shape == (3, 34)
    assert labels(rec, label_pad_width=30, label_pad_value=-2)[:, -1].tolist() == [-2, -2, -2]


@pytest.mark.parametrize("mode", ["fit", "shrink"])
def test_an_image_that_keeps_its_ratio_leaves_zeros(rec, mode):
    with io.ImageDetRecordIter(
        path_imgrec=rec, data_shape=(3, 20, 24), batch_size=1, resize_mode=mode, mean_r=50.0
    ) as it:
        batch = next(it)
    assert batch.label[0].asnumpy()[0, :3].tolist() == [3, 18, 24]  # MXNet 1.9.1's: 30 x 40 in 20 x 24
    pixels = batch.data[0].asnumpy()[0]
    assert pixels[:, :18].any(axis=(0, 2)).all()
    assert not pixels[:, 18:].any()


def test_a_larger_canvas_leaves_a_shrunk_image_at_its_size(rec):
    with io.ImageDetRecordIter(
        path_imgrec=rec, data_shape=(3, 64, 64), batch_size=3, resize_mode="shrink"
    ) as it:
        assert next(it).label[0].asnumpy()[:, 1:3].tolist() == [list(size) for size in SIZES]


def test_a_mirrored_image_has_mirrored_boxes(rec):
    assert labels(rec, rand_mirror_prob=1)[0, 7:11].tolist() == pytest.approx([0.6, 0.2, 0.9, 0.6])


IMAGE = np.full((60, 80, 3), 9, np.uint8)
IMAGE[15:30, 20:40] = 200  # the one object
BOX = np.array([[1, 0.25, 0.25, 0.5, 0.5, 7]], np.float32)


@pytest.mark.parametrize(
    "chosen",
    [
        {"rand_pad_prob": 1, "max_pad_scale": 3.0},
        {"rand_crop_prob": 1, "min_crop_scales": 0.5, "min_crop_object_coverages": 1.0},
        {"rand_crop_prob": 1, "num_crop_sampler": 2, "min_crop_scales": (0.6, 0.8), "max_crop_aspect_ratios": 2.0,
         "min_crop_object_coverages": (1.0, 0.9), "rand_mirror_prob": 0.5},
    ],
)  # fmt: skip
def test_boxes_follow_their_objects(chosen):
    augment = DetAugment(data_shape=(3, 120, 160), inter_method=0, **chosen)
    rng = np.random.default_rng(0)
    for _ in range(30):
        img, boxes = augment(IMAGE, BOX, rng)
        assert boxes[0, [0, 5]].tolist() == [1, 7]
        rows, columns = np.nonzero(img[:, :, 0] == 200)
        found = [columns.min() / 160, rows.min() / 120, (columns.max() + 1) / 160, (rows.max() + 1) / 120]
        assert found == pytest.approx(boxes[0, 1:5].tolist(), abs=0.06)
    assert BOX[0, 1] == 0.25  # the caller's stay


def test_a_crop_drops_boxes_whose_centre_or_most_is_outside():
    outside = np.array([[0, 0.0, 0.0, 0.2, 0.2], [1, 0.9, 0.9, 1.0, 1.0]], np.float32)
    crop, anything = np.array([0.1, 0.1, 0.6, 0.6]), {}
    for what in ("overlaps", "sample_coverages", "object_coverages"):
        anything |= {f"min_crop_{what}": 0.0, f"max_crop_{what}": 1.0}
    by_centre = DetAugment(data_shape=(3, 8, 8))._kept(crop, outside, anything)
    assert by_centre.ravel().tolist() == pytest.approx([0, 0, 0, 0.2, 0.2])
    by_overlap = DetAugment(data_shape=(3, 8, 8), crop_emit_mode="overlap", emit_overlap_thresh=0.3)
    assert not len(by_overlap._kept(crop, outside, anything))  # a quarter of it is inside


def test_colours_change_only_as_far_as_asked():
    augment = DetAugment(
        data_shape=(3, 60, 80),
        max_random_hue=20,
        random_hue_prob=1,
        max_random_contrast=0.5,
        random_contrast_prob=1,
    )
    img, boxes = augment(IMAGE, BOX, np.random.default_rng(1))
    assert img.std() > 0
    assert not np.array_equal(img, IMAGE)
    assert np.array_equal(boxes, BOX)


def test_every_number_of_threads_gives_the_same(rec):
    chosen = {"rand_crop_prob": 0.5, "rand_pad_prob": 0.5, "max_pad_scale": 2.0, "seed": 3}
    assert np.array_equal(
        labels(rec, preprocess_threads=1, **chosen), labels(rec, preprocess_threads=3, **chosen)
    )


def test_what_does_not_fit_is_named(rec, tmp_path):
    with pytest.raises(ConfigError, match="label_pad_width is 10; the longest label has 17 numbers"):
        labels(rec, label_pad_width=10)
    with pytest.raises(ConfigError, match="resize_mode is 'bend'; wanted one of force shrink fit"):
        labels(rec, resize_mode="bend")
    with pytest.raises(
        ConfigError, match=r"min_crop_scales has 2 numbers; wanted 1 or num_crop_sampler \(3\)"
    ):
        labels(rec, num_crop_sampler=3, min_crop_scales=(0.1, 0.2))
    with pytest.raises(PSError, match="17 labels, but label_width is 7"):
        labels(rec, label_width=7)
    path = tmp_path / "plain.rec"
    with recordio.MXRecordIO(path, "w") as file:
        raw = imagefile.encode(IMAGE, ".png")
        file.write(recordio.pack(recordio.IRHeader(0, 3.0, 0, 0), raw))
    with pytest.raises(PSError, match=r"a label of 1 numbers .* wanted A >= 2, B >= 5, and whole objects"):
        labels(path)
