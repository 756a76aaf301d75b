"""Decoding and resizing, against pixels that MXNet (by OpenCV) made of the same files and arrays."""

from pathlib import Path

import numpy as np
import pytest

from psdist import imagefile
from psdist.errors import ConfigError, PSError

from . import arrays

ORACLE = Path(__file__).parent / "oracle"
ANSWERS = np.load(ORACLE / "images.npz")


@pytest.mark.parametrize("key", [k for k in ANSWERS.files if k.startswith("decode")])
def test_a_file_decodes_to_mxnets_pixels(key):
    _, name, flag = key.split()
    pixels = imagefile.decode((ORACLE / name).read_bytes(), color=flag == "1")
    assert pixels.dtype == np.uint8
    assert pixels.shape == ANSWERS[key].shape
    difference = np.abs(pixels.astype(int) - ANSWERS[key]).max()
    grey_of_colours = flag == "0" and name.endswith(
        "png"
    )  # the two round the weights of the colours differently
    assert difference <= (1 if grey_of_colours else 0)


@pytest.mark.parametrize("name", arrays.images())
@pytest.mark.parametrize("interp", range(5))
def test_resizing_gives_mxnets_pixels(name, interp):
    for width, height in arrays.SIZES:
        resized = imagefile.resize(arrays.images()[name], width, height, interp)
        answer = ANSWERS[f"resize {name} {width} {height} {interp}"]
        assert resized.dtype == answer.dtype
        difference = np.abs(resized.astype(np.float64) - answer).max()
        assert difference <= (1 if resized.dtype == np.uint8 else 1e-5), (width, height)


def test_png_keeps_every_pixel_and_jpeg_nearly():
    noise = arrays.images()["bytes"]
    for channels in ([0], [0, 1, 2]):
        image = noise[:, :, channels]
        assert np.array_equal(imagefile.decode(imagefile.encode(image, ".png", 9), color=None), image)
    smooth = np.full((16, 16, 3), [200, 100, 50], np.uint8)
    assert np.abs(imagefile.decode(imagefile.encode(smooth)).astype(int) - smooth).max() <= 2


def test_transparency_is_kept_only_when_asked_for():
    raw = (ORACLE / "image_clear.png").read_bytes()
    assert imagefile.decode(raw, color=None).shape == (48, 64, 4)
    assert imagefile.decode(raw).shape == (48, 64, 3)


def test_bytes_that_are_no_image_are_refused_by_name():
    with pytest.raises(PSError, match=r"^record 7 of 5 bytes cannot be decoded: cannot identify image file"):
        imagefile.decode(b"hello", what="record 7")
    with pytest.raises(PSError, match=r"^image is empty; wanted the bytes of a JPEG, a PNG or the like$"):
        imagefile.decode(b"")


def test_an_image_cut_anywhere_is_an_image_or_an_error():
    for name in ("image_grey.jpg", "image_colour.png"):
        raw = (ORACLE / name).read_bytes()
        for n in range(len(raw)):
            try:
                assert imagefile.decode(raw[:n]).shape == (48, 64, 3)
            except PSError:
                continue


def test_an_image_that_would_fill_the_memory_is_refused():
    raw = bytearray((ORACLE / "image_grey.png").read_bytes())
    raw[16:24] = bytes.fromhex("0000ffff0000ffff")  # width, height
    with pytest.raises(PSError, match="cannot be decoded"):
        imagefile.decode(bytes(raw))


def test_without_pillow_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "PIL.Image", None)
    with pytest.raises(
        ConfigError, match=r"images need Pillow, which is not installed: pip install 'psdist\[im"
    ):
        imagefile.decode(b"hello")


def test_a_wrong_format_shape_or_size_is_refused():
    with pytest.raises(ConfigError, match=r"img_fmt is '.gif'; wanted one of .jpg, .jpeg, .png"):
        imagefile.encode(np.zeros((2, 2), np.uint8), ".gif")
    with pytest.raises(ConfigError, match=r"an image of shape \(3, 2, 2\); wanted \(height, width\) or"):
        imagefile.encode(np.zeros((3, 2, 2), np.uint8))
    with pytest.raises(ConfigError, match=r"resize: interp is 7; wanted 0 nearest, 1 linear"):
        imagefile.resize(np.zeros((2, 2, 3), np.uint8), 3, 3, 7)
    with pytest.raises(ConfigError, match=r"resize: to width 0 and height 3; wanted at least 1 of each"):
        imagefile.resize(np.zeros((2, 2, 3), np.uint8), 0, 3)
