"""The optimizers' steps."""

from .draw import Draw, Example, positive, real

ONE = ("float32",)


def half(*shape):
    return Draw(shape, dtype="float16")


def step(*states, master=False, **params):
    """Each of: plain; with decay, scale and clipping."""
    weight, grad = (half(5), half(5)) if master else (real(5), real(5))
    return [
        Example(weight, grad, *states, grad=False, backward=False, dtypes=ONE, **params, **more)
        for more in ({}, {"wd": 0.125, "rescale_grad": 0.5}, {"clip_gradient": 0.25, "wd": 0.25})
        if not (set(more) & set(params))
    ]


def many(columns, count=2, **params):
    draws = {"w": real(3), "m": real(3), "h": half(3), "s": real(3)}
    return [
        Example(
            *[draws[c] for c in columns] * count,
            num_weights=count,
            lrs=(0.5, 0.25),
            wds=(0.125, 0.0),
            grad=False,
            backward=False,
            dtypes=ONE,
            **params,
        )
    ]


def preloaded(columns, count=2, **params):
    draws = {"w": real(3), "m": real(3), "h": half(3), "s": real(3)}
    return [
        Example(
            *[draws[c] for c in columns] * count,
            positive(2),
            positive(2),
            num_weights=count,
            grad=False,
            backward=False,
            dtypes=ONE,
            **params,
        )
    ]


CLIP = [{"clip_grad": 0.25}, {"wd": 0.125, "rescale_grad": 0.5}, {}]
EXAMPLES = {
    "sgd_update": step(lr=0.5),
    "sgd_mom_update": step(real(5), lr=0.5, momentum=0.75),
    "nag_mom_update": step(real(5), lr=0.5, momentum=0.75),
    "mp_sgd_update": step(real(5), lr=0.5, master=True),
    "mp_sgd_mom_update": step(real(5), real(5), lr=0.5, momentum=0.75, master=True),
    "mp_nag_mom_update": step(real(5), real(5), lr=0.5, momentum=0.75, master=True),
    "adam_update": step(real(5), positive(5), lr=0.5),
    "_adamw_update": [
        Example(
            (5,),
            (5,),
            (5,),
            positive(5),
            positive(1),
            lr=0.5,
            eta=0.75,
            grad=False,
            backward=False,
            dtypes=ONE,
            **p,
        )
        for p in ({}, {"wd": 0.125}, {"clip_gradient": 0.25})
    ],
    "_mp_adamw_update": [
        Example(
            half(5),
            half(5),
            (5,),
            positive(5),
            (5,),
            positive(1),
            lr=0.5,
            eta=0.75,
            wd=0.125,
            grad=False,
            backward=False,
            dtypes=ONE,
        )
    ],
    "ftml_update": [
        Example(
            (5,),
            (5,),
            positive(5),
            positive(5),
            (5,),
            lr=0.5,
            t=3,
            grad=False,
            backward=False,
            dtypes=ONE,
            **p,
        )
        for p in CLIP
    ],
    "rmsprop_update": step(positive(5), lr=0.5) + step(positive(5), lr=0.5, clip_weights=0.5, gamma1=0.75),
    "rmspropalex_update": step(positive(5, low=4, high=6), real(5, low=-1, high=1), real(5), lr=0.5),
    "ftrl_update": step(real(5), positive(5), lr=0.5)
    + step(real(5), positive(5), lr=0.5, lamda1=0.5, beta=0.5),
    "_sparse_adagrad_update": [
        Example((5,), (5,), positive(5), lr=0.5, grad=False, backward=False, dtypes=ONE, ask=False, **p)
        for p in ({}, {"clip_gradient": 0.25})
    ],
    "signsgd_update": step(lr=0.5),
    "signum_update": step(real(5), lr=0.5, momentum=0.75) + step(real(5), lr=0.5, momentum=0.5, wd_lh=0.125),
    "lamb_update_phase1": [
        Example((5,), (5,), (5,), positive(5), t=t, wd=0.125, grad=False, backward=False, dtypes=ONE, **p)
        for t in (1, 5)
        for p in ({}, {"bias_correction": False}, {"clip_gradient": 0.25, "rescale_grad": 0.5})
    ],
    "lamb_update_phase2": [
        Example((5,), (5,), positive(1), positive(1), lr=0.5, grad=False, backward=False, dtypes=ONE, **p)
        for p in ({}, {"lower_bound": 0.75, "upper_bound": 1.0})
    ],
    "mp_lamb_update_phase1": [
        Example(
            half(5), half(5), (5,), positive(5), (5,), t=2, wd=0.125, grad=False, backward=False, dtypes=ONE
        )
    ],
    "mp_lamb_update_phase2": [
        Example(half(5), (5,), positive(1), positive(1), (5,), lr=0.5, grad=False, backward=False, dtypes=ONE)
    ],
    "multi_sgd_update": many("ww"),
    "multi_sgd_mom_update": many("wwm", momentum=0.75),
    "multi_mp_sgd_update": many("hhs"),
    "multi_mp_sgd_mom_update": many("hhms", momentum=0.75),
    "preloaded_multi_sgd_update": preloaded("ww"),
    "preloaded_multi_sgd_mom_update": preloaded("wwm", momentum=0.75),
    "preloaded_multi_mp_sgd_update": preloaded("hhs"),
    "preloaded_multi_mp_sgd_mom_update": preloaded("hhms", momentum=0.75),
    "multi_sum_sq": [Example((3,), (2, 2), num_arrays=2, grad=False, backward=False, dtypes=ONE)],
    "multi_all_finite": [Example((3,), (2, 2), num_arrays=2, grad=False, backward=False, dtypes=ONE)],
    "all_finite": [Example((3,), grad=False, backward=False, dtypes=ONE)],
    "reset_arrays": [Example((3,), (2,), num_arrays=2, grad=False, backward=False, dtypes=ONE)],
    "multi_lars": [
        Example(
            positive(3),
            positive(3),
            positive(3),
            positive(3),
            eta=0.5,
            eps=0.125,
            grad=False,
            backward=False,
            dtypes=ONE,
        )
    ],
}
for name, columns in (("adamw", "wwmv"), ("mp_adamw", "hhmvs")):
    draws = {"w": real(3), "m": real(3), "v": positive(3), "h": half(3), "s": real(3)}
    EXAMPLES[f"_multi_{name}_update"] = [
        Example(*[draws[c] for c in columns] * 2, positive(1), num_weights=2, lrs=(0.5, 0.25), wds=(0.125, 0.0),
                etas=(1.0, 0.5), grad=False, backward=False, dtypes=ONE)
    ]  # fmt: skip
for name, columns in (("lamb", "wwmv"), ("mp_lamb", "hhmvs")):
    EXAMPLES[f"_multi_{name}_update"] = [
        Example(*[draws[c] for c in columns] * 2, num_tensors=2, learning_rates=(0.5, 0.25), wds=(0.125, 0.0),
                step_count=(1, 3), grad=False, backward=False, dtypes=ONE, **p)
        for p in ({}, {"bias_correction": False}, {"clip_gradient": 0.25})
    ]  # fmt: skip
