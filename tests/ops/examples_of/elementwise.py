"""Arithmetic, comparison, unary mathematics, reductions."""

from .draw import Draw, Example, distinct, ints, positive, real, unit

HALF = ("float32", "float64", "float16")
EXAMPLES = {}
BINARY = "add sub mul div mod power maximum minimum hypot".split()
COMPARE = (
    "equal not_equal greater greater_equal lesser lesser_equal logical_and logical_or logical_xor".split()
)
SAME = {"add": "elemwise_add", "sub": "elemwise_sub", "mul": "elemwise_mul", "div": "elemwise_div"}
SCALAR = {"add": "plus", "sub": "minus"}
PAIRS = [((2, 3), (2, 3)), ((3, 1), (1, 4)), ((1,), (1,)), ((2, 1, 3), (1, 4, 3)), ((2, 3), (1, 1))]


def numbers(name, *shape):
    return positive(*shape, low=0.6) if name in ("div", "mod", "power", "hypot") else Draw(shape)


for name in BINARY + COMPARE:
    is_number = name in BINARY
    draw = (
        (lambda *shape, name=name: numbers(name, *shape))
        if is_number
        else (lambda *shape: ints(3, *shape, low=0))
    )
    EXAMPLES[SAME.get(name, f"_{name}")] = [
        Example(draw(*s), draw(*s), dtypes=HALF, grad=name != "mod") for s in [(2, 3), (4,), (2, 1, 3)]
    ] + [
        Example(
            ints(9, 5, low=1, dtype="int32"),
            ints(9, 5, low=1, dtype="int32"),
            grad=False,
            backward=False,
            dtypes=("float32",),
        )
    ]
    EXAMPLES[f"broadcast_{name}"] = [
        Example(draw(*a), draw(*b), dtypes=HALF, grad=name != "mod") for a, b in PAIRS
    ]
    base = SCALAR.get(name, name)
    EXAMPLES[f"_{base}_scalar"] = [
        Example(draw(*s), scalar=c, dtypes=HALF, grad=name != "mod")
        for s in [(2, 3), (4,)]
        for c in (1.5, 2.0, -1.0, 0.0)
        if not (name in ("div", "mod", "hypot") and c == 0.0)
    ] + [Example(ints(9, 5, low=1, dtype="int32"), scalar=2, dtypes=("float32",), grad=False, backward=False)]
    if name in ("sub", "div", "mod", "power"):
        EXAMPLES[f"_r{base}_scalar"] = [
            Example(draw(*s), scalar=c, dtypes=HALF, grad=name != "mod")
            for s in [(2, 3), (4,)]
            for c in (1.5, 2.0)
        ]
EXAMPLES["_grad_add"] = [Example((2, 3), (2, 3))]
EXAMPLES["add_n"] = [Example(*[(2, 3)] * n, num_args=n, dtypes=HALF) for n in (1, 2, 4)]

PLAIN = "relu sigmoid tanh softsign negative abs square cbrt exp expm1 sin cos sinh cosh".split()
PLAIN += "arctan arcsinh degrees radians".split()
POSITIVE = "sqrt rsqrt rcbrt reciprocal log log10 log2 log1p gamma gammaln".split()
UNIT = "tan arcsin arccos arctanh erf erfinv".split()
STEPS = "sign floor ceil trunc fix round rint".split()
SHAPES = [(2, 3), (5,), (1, 2, 2)]
for names, draw in ((PLAIN, real), (POSITIVE, positive), (UNIT, unit), (STEPS, real)):
    for name in names:
        EXAMPLES[name] = [Example(draw(*s), dtypes=HALF) for s in SHAPES]
for name in ("relu", "abs"):
    EXAMPLES[name] = [Example(distinct(*s), dtypes=HALF) for s in SHAPES]
EXAMPLES["erf"] += [Example(real(4, low=-6, high=6), dtypes=HALF)]
EXAMPLES["gammaln"] += [Example(real(4, low=3, high=50))]
EXAMPLES["gamma"] += [Example(real(4, low=3, high=12))]
EXAMPLES["rint"] = [Example(real(*s)) for s in SHAPES]
EXAMPLES["arccosh"] = [Example(real(*s, low=1.1, high=3), dtypes=HALF) for s in SHAPES]
EXAMPLES["logical_not"] = [Example(ints(2, 2, 3))]
EXAMPLES["hard_sigmoid"] = [Example(real(7, low=-5, high=5), **p) for p in ({}, {"alpha": 0.5, "beta": 0.25})]
EXAMPLES["_copy"] = [Example((2, 3), dtypes=HALF)]
EXAMPLES["BlockGrad"] = [Example((2, 3), dtypes=HALF, grad=False)]
EXAMPLES["_identity_with_attr_like_rhs"] = [Example((2, 3), (2, 3), backward=False)]
EXAMPLES["Cast"] = [
    Example((2, 3), dtype=d, grad=d == "float64", backward=d.startswith("float"))
    for d in ("float64", "float32", "float16", "int32", "int8", "int64")
]
EXAMPLES["Cast"] += [Example(real(4, low=0, high=100), dtype="uint8", grad=False, backward=False)]
EXAMPLES["amp_cast"] = [
    Example((2, 3), dtype=d, grad=d == "float64") for d in ("float64", "float32", "float16")
]
EXAMPLES["amp_multicast"] = [
    Example(
        (2, 3), Draw((2, 2), dtype="float16"), num_outputs=2, cast_narrow=n, grad=False, dtypes=("float32",)
    )
    for n in (False, True)
]
EXAMPLES["clip"] = [
    Example(distinct(3, 4), a_min=a, a_max=b, dtypes=HALF) for a, b in ((-0.25, 0.125), (0, 1), (-1, 1))
]
EXAMPLES["smooth_l1"] = [Example(real(3, 4), scalar=s) for s in (1.0, 2.0, 0.5)]

AXES = [
    {},
    {"axis": 0},
    {"axis": 1},
    {"axis": (0, 2)},
    {"axis": -1, "keepdims": True},
    {"axis": 1, "exclude": True},
    {"keepdims": True},
    {"axis": (1, 2), "keepdims": True, "exclude": True},
]
for name in "sum nansum mean prod nanprod".split():
    EXAMPLES[name] = [Example(positive(2, 3, 2), **p, dtypes=("float32", "float64")) for p in AXES]
EXAMPLES["_square_sum"] = [Example((2, 3), **p, same=False) for p in ({"axis": 1}, {})]
for name in "max min".split():
    EXAMPLES[name] = [Example(distinct(2, 3, 2), **p, dtypes=HALF) for p in AXES]
EXAMPLES["norm"] = [
    Example(positive(2, 3, 2), **p)
    for p in (
        {},
        {"axis": 1},
        {"axis": (0, 2)},
        {"axis": -1, "keepdims": True},
        {"keepdims": True},
        {"ord": 1, "axis": 0},
        {"ord": 1},
        {"ord": 1, "axis": (0, 1)},
    )
]
for name in ("argmax", "argmin"):
    EXAMPLES[name] = [
        Example(distinct(2, 3, 2), **p, dtypes=HALF)
        for p in (
            {},
            {"axis": 0},
            {"axis": -1},
            {"axis": 1, "keepdims": True},
            {"axis": None, "keepdims": True},
        )
    ]
EXAMPLES["argmax_channel"] = [Example(distinct(3, 4))]
EXAMPLES["moments"] = [
    Example((2, 3, 2), **p) for p in ({"axes": (0,)}, {"axes": (1, 2)}, {"axes": (0, 2), "keepdims": True})
]
EXAMPLES["cumsum"] = [
    Example((2, 3, 2), **p) for p in ({}, {"axis": 0}, {"axis": 2}, {"axis": 1, "dtype": "float64"})
]
EXAMPLES["_histogram"] = [Example(real(9), bin_cnt=4, range=(-2.0, 2.0), backward=False)]

EXAMPLES["_copyto"] = [Example((2, 3))]
EXAMPLES["_scatter_elemwise_div"] = [Example((2, 3), positive(2, 3))]
EXAMPLES["_scatter_plus_scalar"] = EXAMPLES["_scatter_minus_scalar"] = [Example((2, 3), scalar=2.0)]
