"""Draws the inputs of an operator's examples. Plain NumPy, so that the oracle's Python can draw the same ones."""

import numpy as np


class Draw:
    """An input of a shape: numbers of `kind`, between `low` and `high`, in the case's dtype or in its own."""

    def __init__(self, shape, low=-2.0, high=2.0, kind="real", dtype=None, smooth=True):
        self.shape, self.low, self.high, self.kind, self.dtype = tuple(shape), low, high, kind, dtype
        self.smooth = smooth and kind in (
            "real",
            "distinct",
            "spd",
            "lower",
        )  # a numeric gradient makes sense

    def __call__(self, rng, dtype):
        dtype = self.dtype or dtype
        shape = self.shape
        if self.kind == "real":
            x = rng.uniform(self.low, self.high, shape)
        elif (
            self.kind == "distinct"
        ):  # any two at least 1/16 apart: no ties, no kinks within a difference step
            n = int(np.prod(shape, dtype=int))
            x = (rng.permutation(n).reshape(shape) - n // 2 + 0.37) / 16
        elif self.kind == "int":
            x = rng.integers(int(self.low), int(self.high), shape)
        elif self.kind == "range":  # 0, 1, 2, …: no index twice
            x = np.arange(np.prod(shape)).reshape(shape)
        elif self.kind == "roi":  # image, then two corners in order
            corner = rng.integers(0, 4, (shape[0], 2))
            size = rng.integers(0, 4, (shape[0], 2))
            x = np.concatenate([rng.integers(0, 2, (shape[0], 1)), corner, corner + size], axis=1)
        elif self.kind == "boxes":  # two corners in order, between 0 and 1
            corner = rng.uniform(0, 0.6, (*shape[:-1], 2))
            x = np.concatenate([corner, corner + rng.uniform(0.1, 0.4, corner.shape)], axis=-1)
        elif self.kind == "detections":  # class, score and a box; classes are few, so that boxes compete
            kinds = rng.integers(int(self.low), int(self.high), (*shape[:-1], 1))
            score = rng.permutation(int(np.prod(shape[:-1]))).reshape(*shape[:-1], 1) / np.prod(shape[:-1])
            corner = rng.uniform(0, 0.3, (*shape[:-1], 2))
            size = rng.uniform(0.3, 0.5, corner.shape)
            x = np.concatenate([kinds, score, corner, corner + size], axis=-1)
        elif self.kind == "labels":  # class and a box; -1 ends them
            kinds = rng.integers(0, 3, (*shape[:-1], 1))
            corner = rng.uniform(0, 0.5, (*shape[:-1], 2))
            x = np.concatenate([kinds, corner, corner + rng.uniform(0.2, 0.5, corner.shape)], axis=-1)
            for image in x:
                image[rng.integers(0, shape[-2] + 1) :] = -1
        elif self.kind == "regions":  # image, then two corners in order
            corner = rng.uniform(0, 3, (shape[0], 2))
            size = rng.uniform(1, 3, (shape[0], 2))
            x = np.concatenate([rng.integers(0, 2, (shape[0], 1)), corner, corner + size], axis=1)
        elif self.kind == "pictures":  # height, width and scale of each
            x = np.concatenate(
                [rng.integers(9, 13, (shape[0], 2)), rng.uniform(0.5, 1, (shape[0], 1))], axis=1
            )
        elif self.kind == "probability":
            x = rng.uniform(0.1, 1, shape)
            x = x / x.sum(axis=-1, keepdims=True)
        elif self.kind == "spd":
            a = rng.uniform(-1, 1, shape)
            x = a @ np.swapaxes(a, -1, -2) + shape[-1] * np.eye(shape[-1])
        elif self.kind == "lower":
            x = np.tril(rng.uniform(-1, 1, shape)) + 2 * np.eye(shape[-1])
        else:
            raise ValueError(self.kind)
        return np.asarray(x).astype(dtype)


def real(*shape, low=-2.0, high=2.0):
    return Draw(shape, low, high)


def positive(*shape, low=0.2, high=2.0):
    return Draw(shape, low, high)


def unit(*shape):
    return Draw(shape, -0.9, 0.9)


def distinct(*shape):
    return Draw(shape, kind="distinct")


def ints(high, *shape, low=0, dtype=None):
    """Integers in the case's float dtype (as MXNet's indices usually come), or in `dtype`."""
    return Draw(shape, low, high, "int", dtype)


class Example:
    """One way to call an operator: parameters and inputs. `grad=False` where no numeric gradient can agree."""

    def __init__(
        self, *inputs, dtypes=None, grad=True, head=None, same=True, backward=True, ask=True, **params
    ):
        self.inputs = [real(*i) if isinstance(i, tuple) else i for i in inputs]
        self.params, self.grad = params, grad
        self.dtypes = dtypes or ("float32", "float64")
        self.ask = ask  # the oracle is asked (some calls make it abort)
        self.same = same  # the oracle gives the same numbers (a random draw does not)
        self.backward = backward  # and has a gradient to compare

    def draw(self, seed, dtype):
        rng = np.random.default_rng(seed)
        return [i(rng, dtype) for i in self.inputs]
