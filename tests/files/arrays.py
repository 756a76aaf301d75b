"""What is in the fixtures, for the script that writes them and the tests that read them.

The arrays' bits are given as integers, so that NaNs with a payload, negative zeros and subnormal numbers are
among them.
"""

import numpy as np

_BITS = {
    "float16": (np.uint16, [0x3C00, 0x8000, 0x7E01, 0xFC00, 0x0001, 0x3555]),
    "float32": (np.uint32, [0x3F800000, 0x80000000, 0x7FC00123, 0xFF800000, 0x00000001, 0x3EAAAAAB]),
    "float64": (
        np.uint64,
        [0x3FF << 52, 1 << 63, (0x7FF8 << 48) + 0x123, 0xFFF << 52, 1, 0x3FD5555555555555],
    ),
    "uint8": (np.uint8, [0, 1, 127, 128, 254, 255]),
    "int8": (np.uint8, [0, 1, 127, 128, 254, 255]),
    "int32": (np.uint32, [0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 42]),
    "int64": (np.uint64, [0, 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 42]),
    "bool": (np.uint8, [0, 1, 1, 0, 1, 0]),
}
DTYPES = list(_BITS)
SPARSE_DTYPES = ["float32", "float16", "int64", "uint8"]


def dense(dtype):
    """The bits above, as (2, 3)."""
    kind, bits = _BITS[dtype]
    return np.array(bits, dtype=kind).view(dtype).reshape(2, 3)


def row_sparse(dtype):
    """data, indices, shape: rows 1 and 4 of (5, 3)."""
    return dense(dtype), np.array([1, 4], dtype=np.int64), (5, 3)


def csr(dtype):
    """data, indptr, indices, shape: six values in the rows 0, 2 and 3 of (4, 7)."""
    indptr = np.array([0, 2, 2, 5, 6], dtype=np.int64)
    return dense(dtype).reshape(-1), indptr, np.array([1, 6, 0, 2, 3, 5], dtype=np.int64), (4, 7)


def plain():
    """What the unnamed and the legacy fixtures hold."""
    return [
        np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 7,
        np.array([3], dtype=np.int32),
        np.linspace(-1, 1, 5, dtype=np.float32),
    ]


MAGIC = bytes.fromhex("0a23d7ce")


def records():
    """Records with the format's own magic at every alignment, alone, doubled, first and last."""
    texts = [
        b"",
        b"a",
        b"abcd",
        b"abcde" * 7,
        MAGIC,
        MAGIC * 2,
        b"abc" + MAGIC,
        MAGIC + b"x",
        b"1234" + MAGIC,
    ]
    return [*texts, b"1234" + MAGIC + b"5678" + MAGIC + b"90", b"ab" + MAGIC * 3 + b"c", MAGIC[:3]]


def headers():
    """flag, label, id, id2 of image records: one label, several, and the largest numbers."""
    return [(0, 1.5, 7, 0), (0, [1.0, 2.0, 3.0], 2**64 - 1, 2**63), (0, -1, 0, 9), (0, [0.25], 1, 1)]


SIZES = [(6, 5), (20, 17), (7, 5), (14, 5), (5, 20), (1, 1)]  # width, height


def images():
    """A picture of noise as bytes and as float32, and one of a single pixel."""
    rng = np.random.RandomState(0)
    noise = rng.randint(0, 256, (10, 14, 3)).astype(np.uint8)
    return {"bytes": noise, "floats": rng.rand(10, 14, 3).astype(np.float32), "pixel": noise[:1, :1]}


# Iterators over the fixture files: (name, class, arguments). Text with a dot in it becomes a fixture's path.
_CSV = {"data_csv": "rows.csv", "data_shape": (3,), "batch_size": 3}
_SVM = {"data_libsvm": "rows.svm", "data_shape": (3,), "batch_size": 2}
_MNIST = {"image": "images.idx", "label": "labels.idx", "batch_size": 2, "shuffle": False}
ITERATORS = [
    ("csv", "CSVIter", {**_CSV, "label_csv": "labels.csv"}),
    ("csv_no_label", "CSVIter", {**_CSV, "data_shape": (3, 1), "batch_size": 5}),
    ("csv_whole", "CSVIter", {**_CSV, "data_shape": (1, 3), "batch_size": 7, "dtype": "int32"}),
    ("csv_pad", "CSVIter", {**_CSV, "round_batch": False}),
    ("svm", "LibSVMIter", _SVM),
    (
        "svm_labels",
        "LibSVMIter",
        {**_SVM, "label_libsvm": "labels.svm", "label_shape": (2,), "batch_size": 3},
    ),
    ("mnist_flat", "MNISTIter", {**_MNIST, "flat": True, "batch_size": 3}),
    ("mnist", "MNISTIter", {**_MNIST, "num_parts": 3, "part_index": 1}),
]

_REC = {"path_imgrec": "images.rec", "batch_size": 2, "data_shape": (3, 8, 9)}
ITERATORS += [
    ("rec " + " ".join(f"{k}={v}" for k, v in changes.items()), "ImageRecordIter", {**_REC, **changes})
    for changes in [
        {},
        {"mirror": True},
        {"resize": 6},
        {"resize": 14, "inter_method": 2},
        {"resize": 11, "inter_method": 9},
        {"pad": 3, "fill_value": 7, "data_shape": (3, 15, 15)},
        {"rotate": 30, "fill_value": 7},
        {"max_random_scale": 0.5, "min_random_scale": 0.5, "data_shape": (3, 4, 4)},
        {"min_img_size": 20},
        {"max_crop_size": 9, "min_crop_size": 9, "data_shape": (3, 8, 8)},
        {"mean_r": 10, "mean_g": 20, "mean_b": 30, "std_r": 2, "std_g": 4, "std_b": 8, "scale": 0.5},
        {"data_shape": (3, 25, 5)},
        {"data_shape": (1, 8, 9)},
        {"dtype": "uint8"},
        {"path_imglist": "images.lst", "label_width": 2},
        {"num_parts": 2, "part_index": 1, "path_imgidx": "images.recidx"},
    ]
]


def record_images():
    """The pictures in images.rec: of several shapes."""
    rng = np.random.RandomState(1)
    return [
        rng.randint(0, 256, (h, w, 3)).astype(np.uint8) for h, w in [(12, 16), (16, 12), (10, 10), (9, 30)]
    ]


# mx.image: functions of a picture, and augmenters; each is run with Python's and NumPy's seed 3.
FUNCTIONS = [
    ("resize_short", (9,), {}),
    ("resize_short", (9, 9), {}),
    ("fixed_crop", (2, 1, 9, 7), {}),
    ("fixed_crop", (2, 1, 9, 7, (5, 6), 1), {}),
    ("random_crop", ((8, 6),), {}),
    ("random_crop", ((20, 6),), {}),
    ("center_crop", ((8, 7),), {}),
    ("random_size_crop", ((6, 6), (0.3, 0.9), (0.7, 1.4)), {}),
    ("copyMakeBorder", (1, 2, 3, 4), {"values": [5, 6, 7]}),
    ("imresize", (7, 5), {"interp": 3}),
]
AUGMENTERS = [
    ("ResizeAug", (8,)),
    ("ForceResizeAug", ((7, 9),)),
    ("RandomCropAug", ((6, 7),)),
    ("RandomSizedCropAug", ((6, 7), 0.3, (0.75, 1.33))),
    ("CenterCropAug", ((6, 7),)),
    ("BrightnessJitterAug", (0.4,)),
    ("ContrastJitterAug", (0.4,)),
    ("SaturationJitterAug", (0.4,)),
    ("HueJitterAug", (0.4,)),
    ("ColorJitterAug", (0.4, 0.3, 0.2)),
    ("RandomGrayAug", (0.5,)),
    ("HorizontalFlipAug", (0.5,)),
    ("CastAug", ("float32",)),
]
CREATED = [
    ((3, 6, 7), {}),
    ((3, 6, 7), {"resize": 9, "rand_crop": True, "rand_mirror": True, "mean": True, "std": True}),
    (
        (3, 6, 7),
        {"rand_crop": True, "rand_resize": True, "brightness": 0.2, "contrast": 0.2, "saturation": 0.2},
    ),
    ((3, 6, 7), {"hue": 0.2, "pca_noise": 0.1, "rand_gray": 0.3, "inter_method": 1}),
]


def network(mx):
    """A symbol of most kinds of layers, from MXNet or from psdist: they have to draw it alike."""
    x = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), num_filter=4, stride=(2, 2), name="c1")
    x = mx.sym.Activation(mx.sym.BatchNorm(x, name="bn"), act_type="relu", name="r")
    x = mx.sym.Pooling(x, kernel=(2, 2), stride=(2, 2), pool_type="max", name="p")
    y = mx.sym.FullyConnected(mx.sym.Flatten(x, name="fl"), num_hidden=10, name="fc")
    z = mx.sym.LeakyReLU(y + 1, act_type="leaky", name="lk")
    return mx.sym.SoftmaxOutput(mx.sym.Concat(z, y, name="cc"), name="softmax")


class Drawing:
    """Stands in for graphviz.Digraph and keeps what is drawn."""

    def __init__(self, **options):
        self.options = options
        self.nodes = []
        self.edges = []

    def node(self, **attributes):
        self.nodes.append(attributes)

    def edge(self, **attributes):
        self.edges.append(attributes)


def with_paths(arguments, folder):
    """The arguments with names of fixtures made paths in `folder`."""
    is_file = lambda v: isinstance(v, str) and "." in v  # noqa: E731
    return {k: str(folder / v) if is_file(v) else v for k, v in arguments.items()}


# Augmenters of images with boxes: each is run on a copy of the label, with Python's seeds from 0 on.
DETECTORS = [
    ("DetRandomCropAug", ()),
    ("DetRandomCropAug", (0.5, (0.5, 2), (0.1, 0.9), 0.5, 20)),
    ("DetRandomPadAug", ()),
    ("DetRandomPadAug", ((0.5, 2), (1.0, 4.0), 10, (1, 2, 3))),
    ("DetHorizontalFlipAug", (0.5,)),
    ("CreateMultiRandCropAugmenter", ([0.1, 0.5, 0.9], (0.75, 1.33), [(0.1, 1.0), (0.2, 1.0), (0.3, 1.0)], 0.3, 50, 0.2)),
]  # fmt: skip
DETECTOR_SEEDS = range(12)
CREATED_DETECTORS = {
    "resize": 40, "rand_crop": 0.5, "rand_pad": 0.5, "rand_gray": 0.1, "rand_mirror": True, "mean": True, "std": True,
    "brightness": 0.1, "contrast": 0.1, "saturation": 0.1, "pca_noise": 0.1, "hue": 0.1,
}  # fmt: skip
TURNS = [(30.0, {}), (-75.0, {"zoom_in": True}), (45.0, {"zoom_out": True})]


def boxes(seed):
    """A label of some objects: class and corners."""
    rng = np.random.RandomState(seed)
    corner = rng.uniform(0, 0.5, (1 + seed % 4, 2))
    corners = np.concatenate([corner, corner + rng.uniform(0.1, 0.5, corner.shape)], 1)
    return np.concatenate([rng.randint(0, 9, (len(corner), 1)), corners], 1).astype(np.float32)
