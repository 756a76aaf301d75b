"""Products, linear algebra, random draws."""

from .draw import Draw, Example, positive, real


def spd(*shape):
    return Draw(shape, kind="spd")


def lower(*shape):
    return Draw(shape, kind="lower")


ONE = ("float32",)
GEMM = [
    ((2, 3), (3, 4), {}),
    ((3, 2), (3, 4), {"transpose_a": True}),
    ((2, 3), (4, 3), {"transpose_b": True}),
    ((2, 2, 3), (2, 3, 2), {"alpha": 0.5}),
    ((2, 3, 2), (2, 2, 3), {"transpose_a": True, "transpose_b": True}),
]
TRI = [
    ((3, 3), (3, 2), {}),
    ((3, 3), (2, 3), {"rightside": True}),
    ((2, 3, 3), (2, 3, 2), {"transpose": True}),
    ((3, 3), (3, 2), {"lower": False, "alpha": 0.5}),
    ((3, 3), (2, 3), {"rightside": True, "transpose": True}),
    ((3, 3), (2, 3), {"rightside": True, "lower": False}),
]
EXAMPLES = {
    "dot": [
        Example((2, 3), (3, 4)),
        Example((3,), (3,)),
        Example((3, 2), (3, 4), transpose_a=True),
        Example((2, 3), (4, 3), transpose_b=True),
        Example((2, 3, 4), (4, 2)),
        Example((2, 3), (3, 2, 2)),
        Example((2, 3), (3,)),
        Example((3, 2), (4, 3), transpose_a=True, transpose_b=True),
    ],
    "batch_dot": [
        Example((2, 2, 3), (2, 3, 4)),
        Example((2, 3, 2), (2, 3, 4), transpose_a=True),
        Example((2, 2, 3), (2, 4, 3), transpose_b=True),
    ],
    "khatri_rao": [Example((2, 3), (4, 3), num_args=2), Example((2, 2), (1, 2), (3, 2), num_args=3)],
    "_linalg_gemm2": [Example(a, b, **p) for a, b, p in GEMM]
    + [Example((3, 2, 2), (2, 2, 2), axis=0, alpha=2.0)] * 0,
    "_linalg_gemm": [
        Example(a, b, c, **p)
        for (a, b, p), c in zip(GEMM, ((2, 4), (2, 4), (2, 4), (2, 2, 2), (2, 2, 2)), strict=True)
    ]
    + [Example((2, 3), (3, 4), (2, 4), alpha=0.5, beta=2.0)],
    "_linalg_potrf": [
        Example(Draw((3, 3), kind="spd"), grad=False),
        Example(spd(2, 2, 2), grad=False),
        Example(Draw((3, 3), kind="spd"), lower=False, grad=False),
    ],
    "_linalg_potri": [Example(lower(3, 3)), Example(lower(2, 2, 2)), Example(spd(3, 3), lower=False)],
    "_linalg_trmm": [Example(lower(*a) if p.get("lower", True) else a, b, **p) for a, b, p in TRI],
    "_linalg_trsm": [Example(lower(*a) if p.get("lower", True) else spd(*a), b, **p) for a, b, p in TRI],
    "_linalg_syrk": [Example((2, 3), **p) for p in ({}, {"transpose": True}, {"alpha": 0.5})]
    + [Example((2, 2, 3))],
    "_linalg_sumlogdiag": [Example(spd(3, 3)), Example(spd(2, 2, 2))],
    "_linalg_extractdiag": [Example((3, 3), offset=k) for k in (0, 1, -1)] + [Example((2, 3, 3))],
    "_linalg_makediag": [Example((3,), offset=k) for k in (0, 1, -2)] + [Example((2, 3))],
    "_linalg_extracttrian": [
        Example((3, 3), **p) for p in ({}, {"lower": False}, {"offset": 1}, {"offset": -1})
    ],
    "_linalg_maketrian": [Example((6,), **p) for p in ({}, {"lower": False})]
    + [Example((3,), offset=1), Example((3,), offset=-1)],
    "_linalg_gelqf": [Example((2, 3)), Example((2, 2, 4)), Example((3, 3))],
    "_linalg_syevd": [Example(spd(3, 3), grad=False)],
    "_linalg_inverse": [Example(spd(3, 3)), Example(spd(2, 2, 2))],
    "_linalg_det": [Example((3, 3)), Example((2, 2, 2))],
    "_linalg_slogdet": [Example((3, 3)), Example((2, 2, 2))],
    # random draws: shapes and dtypes only
    **{
        f"_random_{n}": [
            Example(shape=(2, 3), **p, same=False, dtypes=ONE),
            Example(shape=(4,), dtype="float64", **p, same=False, dtypes=ONE),
        ]
        for n, p in (
            ("uniform", {"low": -1.0, "high": 2.0}),
            ("normal", {"loc": 1.0, "scale": 0.5}),
            ("gamma", {"alpha": 2.0, "beta": 0.5}),
            ("exponential", {"lam": 2.0}),
            ("poisson", {"lam": 3.0}),
            ("negative_binomial", {"k": 3, "p": 0.5}),
            ("generalized_negative_binomial", {"mu": 2.0, "alpha": 0.5}),
        )
    },
    **{
        f"_random_{n}_like": [Example((2, 3), **p, same=False)]
        for n, p in (
            ("uniform", {"low": -1.0, "high": 2.0}),
            ("normal", {}),
            ("gamma", {"alpha": 2.0}),
            ("exponential", {"lam": 2.0}),
            ("poisson", {"lam": 3.0}),
            ("negative_binomial", {"k": 3, "p": 0.5}),
            ("generalized_negative_binomial", {"mu": 2.0, "alpha": 0.5}),
        )
    },
    "_sample_uniform": [
        Example(real(2, low=0, high=1), real(2, low=1, high=2), shape=(3,), same=False, grad=False)
    ],
    **{
        f"_sample_{n}": [Example(positive(2), positive(2), shape=(3,), same=False, grad=False)]
        for n in ("normal", "gamma", "generalized_negative_binomial")
    },
    "_sample_negative_binomial": [
        Example(positive(2), positive(2, low=0.2, high=0.8), shape=(3,), same=False, grad=False)
    ],
    **{
        f"_sample_{n}": [
            Example(positive(2, 2), same=False, grad=False),
            Example(positive(2), shape=(2, 2), same=False, grad=False),
        ]
        for n in ("exponential", "poisson")
    },
    "_random_randint": [Example(low=2, high=9, shape=(2, 3), same=False, dtypes=ONE)],
    "_sample_multinomial": [
        Example(Draw((3, 4), kind="probability"), same=False, grad=False),
        Example(Draw((4,), kind="probability"), shape=(5,), get_prob=True, same=False, grad=False),
    ],
    "_shuffle": [Example((4, 2), same=False, grad=False)],
    "_sample_unique_zipfian": [Example(range_max=50, shape=(2, 4), same=False, dtypes=ONE)],
}
for name, first, second in (
    ("uniform", real(2, low=-3, high=-2), real(2, low=2, high=3)),
    ("normal", real(2), positive(2)),
    ("gamma", positive(2), positive(2)),
    ("negative_binomial", positive(2, low=1, high=4), positive(2, low=0.2, high=0.8)),
    ("generalized_negative_binomial", positive(2), positive(2)),
):
    EXAMPLES[f"_random_pdf_{name}"] = [
        Example(positive(2, 3), first, second, is_log=is_log, grad="binomial" not in name)
        for is_log in (False, True)
    ]
for name in ("exponential", "poisson"):
    EXAMPLES[f"_random_pdf_{name}"] = [
        Example(positive(2, 3), positive(2), is_log=is_log, grad=name != "poisson")
        for is_log in (False, True)
    ]
EXAMPLES["_random_pdf_dirichlet"] = [
    Example(positive(2, 3, 4), positive(2, 4), is_log=is_log) for is_log in (False, True)
]
