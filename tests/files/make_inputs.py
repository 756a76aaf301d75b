"""Make the small inputs in `oracle/` that the iterators and decoders are tried on.

    python tests/files/make_inputs.py

They are inputs, not answers: `make_oracle.py` asks MXNet what it makes of them.
"""

import struct
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from psdist import recordio

sys.path.insert(0, str(Path(__file__).parent))
import arrays

HERE = Path(__file__).parent / "oracle"


def pictures():
    """One picture in every kind of file: colour, grey, transparent, 16 bits, palette, turned by a note."""
    y, x = np.mgrid[0:48, 0:64]
    colours = np.stack([x * 4, y * 5, (x * y) // 12], -1).astype(np.uint8)
    colours[10:20, 10:30] = [255, 0, 0]
    grey = colours[:, :, 1]
    turned = Image.Exif()
    turned[0x112] = 6
    for name, pixels in {
        "colour": colours,
        "grey": grey,
        "clear": np.dstack([colours, colours[:, :, 0]]),
        "deep": (grey.astype(np.uint16) * 257 - 100).clip(0),
    }.items():
        Image.fromarray(pixels).save(HERE / f"image_{name}.png")
    Image.fromarray(colours).convert("P").save(HERE / "image_palette.png")
    Image.fromarray(colours).save(HERE / "image_colour.jpg", quality=85)
    Image.fromarray(grey).save(HERE / "image_grey.jpg", quality=85)
    Image.fromarray(colours).save(HERE / "image_turned.jpg", quality=85, exif=turned)


def rows():
    """Numbers as CSV, LibSVM and IDX."""
    np.savetxt(HERE / "rows.csv", np.arange(21).reshape(7, 3), delimiter=",", fmt="%g")
    np.savetxt(HERE / "labels.csv", np.arange(7) * 10, fmt="%g")
    (HERE / "rows.svm").write_text("1 0:0.5 2:1.5\n0 1:2\n2\n3 0:1 1:2 2:3\n5 2:7\n")
    (HERE / "labels.svm").write_text("1 0:1\n1 1:2\n2 0:3 1:4\n1 0:8\n3 1:9\n")
    (HERE / "images.idx").write_bytes(struct.pack(">4I", 0x803, 7, 4, 5) + bytes(range(140)))
    (HERE / "labels.idx").write_bytes(struct.pack(">2I", 0x801, 7) + bytes(range(7)))


def records():
    """Images of several shapes in a RecordIO file, its index, and a list with two labels each."""
    lines = []
    with recordio.MXIndexedRecordIO(HERE / "images.recidx", HERE / "images.rec", "w") as out:
        for i, img in enumerate(arrays.record_images()):
            out.write_idx(i, recordio.pack_img((0, float(i), 100 + i, 0), img, 9, ".png"))
            lines.append(f"{100 + i}\t{i + 0.5}\t{-i}\tnowhere.png\n")
    (HERE / "images.lst").write_text("".join(lines))


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    pictures()
    rows()
    records()
