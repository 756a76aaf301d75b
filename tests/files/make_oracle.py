"""Make the fixtures in `oracle/` with MXNet 1.9.1, which has to be the `mxnet` of the Python that runs this:

    python tests/files/make_oracle.py [part ...]

MXNet itself no longer writes the layouts of 0.x and 1.0: those are put together here by `struct`, and MXNet
has to load them before they are kept.
"""

import contextlib
import io
import json
import random
import struct
import sys
from pathlib import Path

import graphviz
import mxnet as mx
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import arrays

HERE = Path(__file__).parent / "oracle"


def params():
    """Dense of every dtype, sparse, without names, empty, NumPy's shapes, and the layouts of old."""
    save("dense", {d: mx.nd.array(arrays.dense(d), dtype=d) for d in arrays.DTYPES})
    save("list", [mx.nd.array(a, dtype=a.dtype) for a in arrays.plain()])
    save("nothing", [])
    sparse = {}
    for d in arrays.SPARSE_DTYPES:
        data, indices, shape = arrays.row_sparse(d)
        sparse["rows_" + d] = mx.nd.sparse.row_sparse_array((data, indices), shape=shape, dtype=d)
        data, indptr, indices, shape = arrays.csr(d)
        sparse["csr_" + d] = mx.nd.sparse.csr_matrix((data, indices, indptr), shape=shape, dtype=d)
    sparse["no_rows"] = mx.nd.sparse.zeros("row_sparse", (5, 3))
    sparse["no_values"] = mx.nd.sparse.zeros("csr", (2, 3))
    save("sparse", sparse)
    with mx.util.np_shape(True):
        save("np_shape", {"number": mx.nd.full((), 7), "none": mx.nd.zeros((0, 3))})

    by_hand("v0", lambda shape: struct.pack(f"<I{len(shape)}I", len(shape), *shape))
    by_hand("v1", lambda shape: struct.pack(f"<Ii{len(shape)}q", 0xF993FAC8, len(shape), *shape))


def save(name, value):
    mx.nd.save(str(HERE / f"{name}.params"), value)


def by_hand(name, head):
    values = arrays.plain()
    numbers = {np.dtype(np.float32): 0, np.dtype(np.int32): 4}
    body = b"".join(head(a.shape) + struct.pack("<iii", 1, 0, numbers[a.dtype]) + a.tobytes() for a in values)
    names = b"".join(struct.pack("<Q", 1) + c for c in (b"a", b"b", b"c"))
    path = HERE / f"{name}.params"
    path.write_bytes(struct.pack("<QQQ", 0x112, 0, 3) + body + struct.pack("<Q", 3) + names)
    loaded = mx.nd.load(str(path))
    assert [loaded[c].asnumpy().tobytes() for c in "abc"] == [a.tobytes() for a in values]


def recordio():
    """Records whose data hold the magic in every position, and records by index with headers."""
    out = mx.recordio.MXRecordIO(str(HERE / "records.rec"), "w")
    for record in arrays.records():
        out.write(record)
    out.close()
    out = mx.recordio.MXIndexedRecordIO(str(HERE / "indexed.idx"), str(HERE / "indexed.rec"), "w")
    for i, header in enumerate(arrays.headers()):
        out.write_idx(10 * i, mx.recordio.pack(mx.recordio.IRHeader(*header), b"x" * i))
    out.close()


def images():
    """What MXNet (OpenCV) makes of files and sizes: pixels decoded, and pixels resized by every method."""
    answers = {}
    for path in sorted(HERE.glob("image_*")):
        for flag in (0, 1):
            pixels = mx.image.imdecode(path.read_bytes(), flag=flag).asnumpy()
            answers[f"decode {path.name} {flag}"] = pixels
    for name, source in arrays.images().items():
        for w, h in arrays.SIZES:
            for interp in range(5):
                nd = mx.nd.array(source, dtype=source.dtype)
                answers[f"resize {name} {w} {h} {interp}"] = mx.image.imresize(
                    nd, w, h, interp=interp
                ).asnumpy()
    np.savez_compressed(HERE / "images.npz", **answers)


def iterators():
    """Three epochs of every iterator over the small files beside this."""
    answers = {}
    for name, kind, arguments in arrays.ITERATORS:
        it = getattr(mx.io, kind)(**arrays.with_paths(arguments, HERE))
        for epoch in range(3):
            for i, batch in enumerate(it):
                key = f"{name}/{epoch}/{i}"
                answers[key + "/data"] = batch.data[0].asnumpy()
                answers[key + "/label"] = batch.label[0].asnumpy()
                answers[key + "/pad"] = np.int64(batch.pad)
            it.reset()
    np.savez_compressed(HERE / "iterators.npz", **answers)


def augmenters():
    """mx.image's functions and augmenters on one picture, from the same seeds."""
    answers = {}
    bytes_ = mx.nd.array(arrays.images()["bytes"], dtype="uint8")
    floats = bytes_.astype("float32")

    def ask(key, call, *args, **kwargs):
        random.seed(3)
        np.random.seed(3)
        answer = call(*args, **kwargs)
        answers[key] = (answer[0] if isinstance(answer, tuple) else answer).asnumpy()

    for i, (name, args, kwargs) in enumerate(arrays.FUNCTIONS):
        ask(f"function {i}", getattr(mx.image, name), bytes_, *args, **kwargs)
    for i, (name, args) in enumerate(arrays.AUGMENTERS):
        ask(f"augmenter {i}", getattr(mx.image, name)(*args), floats.copy())
    for i, (shape, kwargs) in enumerate(arrays.CREATED):
        augs = mx.image.CreateAugmenter(shape, **kwargs)
        ask(f"created {i}", mx.image.SequentialAug(augs), bytes_)
        answers[f"names {i}"] = np.array([type(a).__name__ for a in augs])
    np.savez_compressed(HERE / "augmenters.npz", **answers)


def detection():
    """What becomes of images and of the boxes in them."""
    picture = mx.nd.array(arrays.images()["bytes"].repeat(3, 0).repeat(3, 1), dtype="uint8")
    rows = []
    for seed in arrays.DETECTOR_SEEDS:
        for name, args in arrays.DETECTORS:
            random.seed(seed)
            image, label = getattr(mx.image, name)(*args)(picture, arrays.boxes(seed).copy())
            pixels = int(image.asnumpy().astype(int).sum())
            rows.append([list(image.shape), pixels, np.asarray(label).round(5).tolist(), random.random()])
    created = mx.image.CreateDetAugmenter((3, 30, 30), **arrays.CREATED_DETECTORS)
    inner = [[type(a).__name__, type(getattr(a, "augmenter", a)).__name__] for a in created]
    floats = mx.nd.array(arrays.images()["floats"].transpose(2, 0, 1))
    turned = [
        mx.image.imrotate(floats, angle, **how).asnumpy().round(5).tolist() for angle, how in arrays.TURNS
    ]
    dumps = [mx.image.DetRandomCropAug().dumps(), mx.image.DetRandomPadAug().dumps()]
    answer = {"rows": rows, "created": inner, "turned": turned, "dumps": dumps}
    (HERE / "detection.json").write_text(json.dumps(answer, separators=(",", ":")))


def visualization():
    """What a network looks like, in words and drawn."""
    network = arrays.network(mx)
    shape = {"data": (1, 3, 20, 20)}
    with contextlib.redirect_stdout(io.StringIO()) as text:
        mx.viz.print_summary(network, shape=shape)
    graphviz.Digraph = arrays.Drawing
    drawing = mx.viz.plot_network(network, shape=shape)
    answer = {"summary": text.getvalue(), "nodes": drawing.nodes, "edges": drawing.edges}
    (HERE / "visualization.json").write_text(json.dumps(answer, indent=1))


PARTS = [params, recordio, images, iterators, augmenters, detection, visualization]

if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    for part in PARTS:
        if part.__name__ in (sys.argv[1:] or [p.__name__ for p in PARTS]):
            part()
            print(part.__name__)
