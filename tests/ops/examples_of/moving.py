"""Creation, shape, joining and slicing, indexing, ordering, sequences."""

from .draw import Draw, Example, distinct, ints

HALF = ("float32", "float64", "float16")
ONE = ("float32",)
EXAMPLES = {
    "_zeros": [Example(shape=(2, 3), dtypes=ONE), Example(shape=(4,), dtype="int32", dtypes=ONE)],
    "_ones": [Example(shape=(2, 3), dtypes=ONE), Example(shape=(4,), dtype="float16", dtypes=ONE)],
    "_full": [
        Example(shape=(2, 3), value=1.5, dtypes=ONE),
        Example(shape=(2,), value=3, dtype="int64", dtypes=ONE),
    ],
    "_arange": [
        Example(start=a, stop=b, step=c, repeat=r, dtype=d, dtypes=ONE)
        for a, b, c, r, d in (
            (0, 5, 1, 1, "float32"),
            (1, 4, 0.5, 2, "float32"),
            (5, None, 1, 1, "int32"),
            (5, 0, -1, 1, "float64"),
        )
    ],
    "_linspace": [Example(start=0, stop=1, step=0.25, dtypes=ONE, ask=False)],
    "_eye": [
        Example(N=3, dtypes=ONE),
        Example(N=2, M=4, k=1, dtypes=ONE),
        Example(N=3, k=-1, dtype="int32", dtypes=ONE),
    ],
    "_zeros_without_dtype": [Example(shape=(2, 3), dtypes=ONE)],
    "zeros_like": [Example((2, 3), dtypes=HALF)],
    "ones_like": [Example((2, 3), dtypes=HALF)],
    "broadcast_to": [
        Example((2, 1, 3), shape=(2, 4, 3)),
        Example((1, 3), shape=(2, 0)),
        Example((1,), shape=(3,)),
    ],
    "broadcast_axis": [Example((2, 1, 3), axis=1, size=4), Example((1, 2, 1), axis=(0, 2), size=(2, 3))],
    "broadcast_like": [
        Example((2, 1), (2, 3), grad=False),
        Example((2, 1, 1), (4, 3, 2), lhs_axes=(1,), rhs_axes=(1,), grad=False),
    ],
    "Reshape": [
        Example((2, 3, 4), **p, dtypes=HALF)
        for p in (
            {"shape": (4, 6)},
            {"shape": (0, -1)},
            {"shape": (-2,)},
            {"shape": (-3, 0)},
            {"shape": (0, -4, 3, 1, 0)},
            {"shape": (-4, 1, -1, -2)},
            {"shape": (-1, 0), "reverse": True},
            {"shape": (2, -1, 4)},
            {"shape": (0, 0, -1)},
            {"shape": (-3, -2)},
            {"shape": (-1,)},
        )
    ],
    "reshape_like": [
        Example((2, 6), (3, 4), grad=False),
        Example((6, 4), (2, 3, 5), lhs_begin=0, lhs_end=1, rhs_begin=0, rhs_end=2, grad=False),
    ],
    "Flatten": [Example((2, 3, 4), dtypes=HALF), Example((3, 2)), Example((3, 1, 1, 2))],
    "transpose": [
        Example((2, 3, 4), dtypes=HALF),
        Example((2, 3, 4), axes=(1, 0, 2)),
        Example((2, 3), axes=(1, 0)),
        Example((2, 1, 3, 2), axes=(0, 3, 1, 2)),
    ],
    "expand_dims": [Example((2, 3), axis=a) for a in (0, 1, 2, -1, -3)],
    "SwapAxis": [Example((2, 3, 4), dim1=a, dim2=b) for a, b in ((0, 1), (0, 2), (2, 1))],
    "squeeze": [
        Example((2, 1, 3, 1)),
        Example((2, 1, 3, 1), axis=1),
        Example((2, 1, 3, 1), axis=(1, 3)),
        Example((1, 1)),
    ],
    "tile": [Example((2, 3), reps=r) for r in ((2,), (2, 2), (1, 2, 2), (3, 1))],
    "repeat": [Example((2, 3), repeats=2, **p) for p in ({}, {"axis": 0}, {"axis": 1}, {"axis": -1})],
    "Pad": [
        Example((1, 2, 3, 4), mode=m, pad_width=w)
        for m in ("constant", "edge", "reflect")
        for w in ((0, 0, 0, 0, 1, 2, 0, 1), (0, 0, 0, 0, 2, 2, 1, 3))
    ]
    + [Example((1, 2, 3), mode="constant", pad_width=(0, 0, 0, 0, 1, 1), constant_value=2.5, same=False)]
    + [
        Example((1, 1, 2, 3, 3), mode=m, pad_width=(0, 0, 0, 0, 1, 1, 0, 2, 1, 0))
        for m in ("constant", "edge", "reflect")
    ],
    "reverse": [Example((2, 3, 2), axis=a) for a in ((0,), (1, 2), (2,))],
    "space_to_depth": [Example((1, 2, 4, 6), block_size=2), Example((1, 1, 3, 3), block_size=3)],
    "depth_to_space": [Example((1, 8, 2, 3), block_size=2), Example((2, 4, 1, 1), block_size=2)],
    "diag": [Example((3, 4), **p) for p in ({}, {"k": 1}, {"k": -1})]
    + [Example((3,), k=k) for k in (0, 1, -2)]
    + [Example((2, 3, 4), axis1=0, axis2=2), Example((2, 3, 4), axis1=2, axis2=1, k=1)],
    "shape_array": [Example((2, 3))],
    "size_array": [Example((2, 3))],
    "Concat": [
        Example(*[s] * n, dim=d, num_args=n, dtypes=HALF)
        for s, n, d in (((2, 3), 2, 1), ((2, 3), 3, 0), ((1, 2, 2), 2, 2), ((2, 2), 2, -1))
    ]
    + [Example((2, 1), (2, 3), (2, 2), dim=1, num_args=3)],
    "_rnn_param_concat": [Example((4,), (4,), dim=0, num_args=2, same=False)],
    "stack": [Example(*[(2, 3)] * n, axis=a, num_args=n) for n, a in ((2, 0), (3, 1), (2, 2), (2, -1))],
    "SliceChannel": [
        Example((2, 4, 3), num_outputs=2),
        Example((4, 3), num_outputs=4, axis=0, squeeze_axis=True),
        Example((2, 3), num_outputs=3, axis=-1),
    ],
    "_split_v2": [
        Example((2, 6), indices=(0, 2, 5), axis=1),
        Example((4, 3), indices=(0, 1), axis=0, squeeze_axis=False),
        Example((4, 3), indices=(), sections=2, axis=0),
    ],
    "slice_axis": [
        Example((3, 4), axis=a, begin=b, end=e, dtypes=HALF)
        for a, b, e in ((0, 1, 3), (1, 0, None), (1, -3, -1), (-1, 1, 2))
    ],
    "slice": [
        Example((3, 4, 5), begin=b, end=e, **p)
        for b, e, p in (
            ((1,), (3,), {}),
            ((0, 1), (2, 3), {}),
            ((None, 1, 0), (None, 4, 5), {"step": (1, 2, 2)}),
            ((2, None), (None, 3), {"step": (-1, 1)}),
            ((-2, 0, -4), (-1, 4, -1), {}),
        )
    ],
    "_slice_assign": [
        Example((3, 4), (2, 2), begin=(0, 1), end=(2, 3), grad=False),
        Example((3, 4), (3, 2), begin=(None, 0), end=(None, 4), step=(1, 2), grad=False),
    ],
    "_slice_assign_scalar": [Example((3, 4), scalar=2.5, begin=(0, 1), end=(2, 3), backward=False)],
    "slice_like": [
        Example((3, 4), (2, 3), grad=False),
        Example((3, 4), (2, 9), axes=(0,), grad=False),
        Example((3, 4, 2), (2, 2, 2), axes=(0, 1), grad=False),
    ],
    "Crop": [
        Example((1, 2, 5, 6), num_args=1, h_w=(2, 3), offset=(1, 2)),
        Example((1, 2, 5, 6), (1, 1, 3, 2), num_args=2, grad=False, offset=(2, 1)),
        Example((1, 2, 5, 6), num_args=1, h_w=(3, 2), center_crop=True),
    ],
    "cast_storage": [Example((2, 3), stype="default")],
    "_sparse_retain": [Example((4, 2), ints(4, 2, dtype="int64"), grad=False, backward=False, ask=False)],
    # indexing
    "take": [
        Example((4, 3), ints(4, 2, 2, dtype=d), **p) for d in (None, "int32") for p in ({}, {"mode": "wrap"})
    ]
    + [
        Example((4, 3, 2), ints(3, 5), axis=1),
        Example((4, 3), ints(9, 4, low=-5), mode="clip"),
        Example((4, 3), ints(9, 4, low=-5), mode="wrap"),
        Example((2, 4), ints(4, 3), axis=-1),
    ],
    "Embedding": [
        Example(ints(5, 2, 3, dtype=d), (5, 4), input_dim=5, output_dim=4, grad=False)
        for d in (None, "int32")
    ],
    "_contrib_SparseEmbedding": [
        Example(ints(5, 2, 3, dtype=d), (5, 4), input_dim=5, output_dim=4, grad=False)
        for d in (None, "int32")
    ],
    "batch_take": [Example((4, 3), ints(3, 4, dtype="int32"), grad=False)],
    "pick": [
        Example((3, 4), ints(4, 3), **p)
        for p in ({}, {"axis": 1}, {"axis": -1, "keepdims": True}, {"mode": "wrap"})
    ]
    + [Example((3, 4), ints(3, 4), axis=0), Example((2, 3, 4), ints(3, 2, 4), axis=1)],
    "one_hot": [
        Example(ints(5, 3), depth=5),
        Example(ints(4, 2, 2), depth=4, on_value=2.0, off_value=-1.0),
        Example(ints(3, 4, dtype="int32"), depth=3, dtype="int32"),
    ],
    "gather_nd": [
        Example((3, 4), ints(3, 2, 5)),
        Example((3, 4, 2), ints(3, 2, 2, 2)),
        Example((3, 4), ints(3, 1, 4)),
    ],
    "scatter_nd": [
        Example((3,), Draw((1, 3), kind="range"), shape=(5,)),
        Example((3, 2), Draw((1, 3), kind="range"), shape=(4, 2)),
    ],
    "_backward_gather_nd": [
        Example((4,), Draw((1, 4), kind="range"), shape=(5,)),
        Example((3, 2), ints(2, 1, 3), shape=(4, 2)),
    ],
    "_scatter_set_nd": [
        Example((5,), (3,), Draw((1, 3), kind="range"), shape=(5,), grad=False, backward=False)
    ],
    "where": [
        Example(ints(2, 3, 4), (3, 4), (3, 4)),
        Example(ints(2, 3), (3, 4), (3, 4)),
        Example(ints(2, 5), (5,), (5,)),
        Example(ints(2, 70, 60), (70, 60), (70, 60), grad=False, ask=False),
    ],
    "_ravel_multi_index": [Example(ints(3, 2, 5), shape=(3, 4)), Example(ints(2, 3, 2), shape=(2, 3, 4))],
    "_unravel_index": [Example(ints(12, 5), shape=(3, 4)), Example(ints(24, 3), shape=(2, 3, 4))],
    "fill_element_0index": [Example((3, 4), (3,), ints(4, 3), grad=False, backward=False)],
    "_onehot_encode": [Example(ints(4, 3), (3, 4), grad=False, backward=False)],
    # ordering
    "sort": [
        Example(distinct(3, 4), **p, dtypes=HALF)
        for p in ({}, {"axis": 0}, {"is_ascend": False}, {"axis": None}, {"axis": 1, "is_ascend": False})
    ],
    "argsort": [
        Example(distinct(3, 4), **p)
        for p in ({}, {"axis": 0}, {"is_ascend": False}, {"axis": None}, {"dtype": "int32"})
    ],
    "topk": [
        Example(distinct(3, 4), **p)
        for p in (
            {},
            {"k": 2},
            {"k": 2, "axis": 0},
            {"k": 3, "ret_typ": "value"},
            {"k": 2, "ret_typ": "both"},
            {"k": 2, "ret_typ": "mask"},
            {"k": 2, "is_ascend": True, "ret_typ": "value"},
            {"k": 2, "axis": None, "ret_typ": "both"},
            {"k": 2, "dtype": "int32"},
            {"k": 0, "ret_typ": "value"},
        )
    ],
    # sequences
    "SequenceMask": [
        Example((4, 3, 2)),
        Example((4, 3, 2), ints(5, 3, low=1), use_sequence_length=True, value=-1.5),
        Example((3, 4), ints(5, 3, low=1), use_sequence_length=True, axis=1),
    ],
    "SequenceLast": [
        Example((4, 3, 2), ask=False),
        Example((4, 3, 2), ints(5, 3, low=1), use_sequence_length=True),
        Example((3, 4, 2), ints(5, 3, low=1), use_sequence_length=True, axis=1),
    ],
    "SequenceReverse": [Example((4, 3, 2)), Example((4, 3, 2), ints(5, 3, low=1), use_sequence_length=True)],
}
EXAMPLES |= {
    "_contrib_arange_like": [
        Example((2, 3), **p) for p in ({}, {"axis": 1}, {"start": 2.0, "step": 0.5, "repeat": 2})
    ],
    "_contrib_div_sqrt_dim": [Example((2, 3))],
    "_contrib_quadratic": [Example((2, 3), a=0.5, b=2.0, c=1.0)],
    "_contrib_gradientmultiplier": [Example((2, 3), scalar=0.5, grad=False)],
    "_contrib_round_ste": [Example((2, 3), grad=False)],
    "_contrib_sign_ste": [Example((2, 3), grad=False)],
    "_contrib_allclose": [Example((2, 3), (2, 3), grad=False, backward=False)],
    "_contrib_index_copy": [Example((5, 2), Draw((3,), kind="range"), (3, 2), grad=False, dtypes=ONE)],
    "_contrib_index_array": [Example((2, 3), **p) for p in ({}, {"axes": (1,)}, {"axes": (1, 0)})],
    "_contrib_AdaptiveAvgPooling2D": [Example((1, 2, 5, 7), output_size=s) for s in ((2, 3), (1,), (4, 4))],
}
