"""Ask MXNet 1.9.1, which has to be the `mxnet` of the Python that runs this, what each operator gives:

    python tests/parity/make_oracle.py [operator ...]

Writes, into `oracle/`, `signatures.json.gz` (names, arrays, parameters and their defaults of all of MXNet's operators)
and one file of answers for each operator, of which `answers.jsonl.gz` is put together. An operator runs in a process of
its own: some of them abort.
"""

import ctypes
import gzip
import json
import os
import sys
import tempfile
import warnings
from pathlib import Path

warnings.simplefilter("ignore")
import mxnet as mx  # noqa: E402
import numpy as np  # noqa: E402
from mxnet.base import _LIB, NDArrayHandle, OpHandle, c_str, check_call, py_str  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent))
from cases import EXAMPLES, cases  # noqa: E402
from digest import FULL_CASES, encode, fingerprint  # noqa: E402

ORACLE = Path(__file__).parent / "oracle"


def handle(name):
    h = OpHandle()
    check_call(_LIB.NNGetOpHandle(c_str(name), ctypes.byref(h)))
    return h


def signatures():
    """name -> [own name, [[argument, type], ...], parameter that counts the arrays]."""
    names, size = ctypes.POINTER(ctypes.c_char_p)(), ctypes.c_uint()
    check_call(_LIB.MXListAllOpNames(ctypes.byref(size), ctypes.byref(names)))
    out = {}
    for name in sorted(py_str(names[i]) for i in range(size.value)):
        own, doc, count = ctypes.c_char_p(), ctypes.c_char_p(), ctypes.c_uint()
        args, types, docs = (ctypes.POINTER(ctypes.c_char_p)() for _ in range(3))
        key, result = ctypes.c_char_p(), ctypes.c_char_p()
        parts = (own, doc, count, args, types, docs, key, result)
        check_call(_LIB.MXSymbolGetAtomicSymbolInfo(handle(name), *map(ctypes.byref, parts)))
        pairs = [[py_str(args[i]), py_str(types[i])] for i in range(count.value)]
        out[name] = [py_str(own.value), pairs, py_str(key.value)]
    return out


def invoke(name, arrays, params):
    """Any operator by its own name. Those on many weights want to be told where their results go."""
    keys = [k.encode() for k in params]
    values = [str(v).encode() for v in params.values()]
    num = ctypes.c_int(0)
    outputs = ctypes.POINTER(NDArrayHandle)()
    count = params.get("num_weights") or params.get("num_tensors")
    if count:
        width = (len(arrays) - 2 * name.startswith("preloaded")) // count
        given = [mx.nd.zeros_like(a) for a in arrays[: count * width : width]]
        outputs = (NDArrayHandle * len(given))(*[a.handle for a in given])
        num = ctypes.c_int(len(given))
        outputs = ctypes.cast(outputs, ctypes.POINTER(NDArrayHandle))
    stypes = ctypes.POINTER(ctypes.c_int)()
    check_call(_LIB.MXImperativeInvokeEx(
        handle(name), len(arrays), (NDArrayHandle * len(arrays))(*[a.handle for a in arrays]), ctypes.byref(num),
        ctypes.byref(outputs), len(keys), (ctypes.c_char_p * len(keys))(*keys), (ctypes.c_char_p * len(keys))(*values),
        ctypes.byref(stypes)))  # fmt: skip
    if count:
        return given
    return [mx.nd.NDArray(ctypes.cast(outputs[i], NDArrayHandle)) for i in range(num.value)]


def answer(name, number, example, inputs):
    full = number < FULL_CASES * len(EXAMPLES[name]) and number < 24
    arrays = [mx.nd.array(x, dtype=x.dtype) for x in inputs]
    backward = example.backward and example.same
    if backward:
        for a in arrays:
            if a.dtype in (np.float16, np.float32, np.float64):
                a.attach_grad()
        with mx.autograd.record(train_mode=True):
            outs = invoke(name, arrays, example.params)
    else:
        with mx.autograd.train_mode():
            outs = invoke(name, arrays, example.params)
    values = [o.asnumpy() for o in outs]
    record = {"n": number, "in": fingerprint(inputs)}
    if example.same:
        record["out"] = [encode(v, number, full) for v in values]
    else:
        record["like"] = [[v.dtype.name, list(v.shape)] for v in values]
    if backward:
        rng = np.random.default_rng(number)
        heads = [rng.uniform(-1, 1, v.shape).astype(v.dtype) for v in values]
        try:
            mx.autograd.backward(outs, [mx.nd.array(h, dtype=h.dtype) for h in heads])
            record["grad"] = [
                None if a.grad is None else encode(a.grad.asnumpy(), number, full) for a in arrays
            ]
        except mx.base.MXNetError:
            pass
    pairs = enumerate(zip(arrays, inputs, strict=True))
    record["after"] = {
        str(i): encode(a.asnumpy(), number, full)
        for i, (a, x) in pairs
        if a.asnumpy().tobytes() != x.tobytes()
    }
    return record


def ask(name, path):
    """In a process of its own, which may die."""
    pid = os.fork()
    if pid == 0:
        with open(path, "w") as f:
            for number, example, _, inputs in cases(name):
                try:
                    record = answer(name, number, example, inputs)
                except Exception as e:
                    record = {"n": number, "error": str(e).strip().splitlines()[-1][-160:]}
                f.write(json.dumps(record, separators=(",", ":")) + "\n")
                f.flush()
        os._exit(0)
    return os.waitpid(pid, 0)[1]


def main(names):
    ORACLE.mkdir(exist_ok=True)
    known = signatures()
    kept = {}
    answers = ORACLE / "answers.jsonl.gz"
    if names and answers.exists():
        with gzip.open(answers, "rt") as f:
            kept = {r["op"]: r for r in map(json.loads, f)}
    for name in names or sorted(EXAMPLES):
        if name not in known:
            print(f"{name}: MXNet has none", flush=True)
            continue
        with tempfile.NamedTemporaryFile("r") as f:
            status = ask(name, f.name)
            records = [json.loads(line) for line in f]
        errors = [r for r in records if "error" in r]
        if errors or status:
            print(
                f"{name}: {len(errors)} of {len(records)} refused, status {status}: {errors[0] if errors else ''}",
                flush=True,
            )
        kept[name] = {"op": name, "cases": [r for r in records if "error" not in r]}
    with gzip.GzipFile(answers, "wb", 9, mtime=0) as f:
        for name in sorted(kept):
            f.write((json.dumps(kept[name], separators=(",", ":")) + "\n").encode())
    with gzip.GzipFile(ORACLE / "signatures.json.gz", "wb", 9, mtime=0) as f:
        f.write(json.dumps(known, separators=(",", ":"), sort_keys=True).encode())
    print(
        f"{sum(len(k['cases']) for k in kept.values())} cases of {len(kept)} operators, {answers.stat().st_size >> 10} KB"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
