"""Layers, losses, normalisation, windows, recurrent networks."""

from .draw import Draw, Example, distinct, ints, positive, real

HALF = ("float32", "float64", "float16")
ONE = ("float32",)


def rnn(mode, layers=1, bidirectional=False, states=False, t=3, n=2, i=3, h=2, p=0.0):
    d = 1 + bidirectional
    g = {"lstm": 4, "gru": 3}.get(mode, 1)
    size = sum(g * h * d * ((i if k == 0 else h * d) + h + 2) for k in range(layers))
    state = [real(layers * d, n, h)] * (1 + (mode == "lstm"))
    return Example(
        real(t, n, i),
        real(size, low=-1, high=1),
        *state,
        mode=mode,
        num_layers=layers,
        state_size=h,
        bidirectional=bidirectional,
        state_outputs=states,
        p=p,
        same=p == 0,
    )


def conv(x, kernel, filters, groups=1, **p):
    w = (filters, x[1] // groups, *kernel)
    extra = {"num_group": groups} if groups > 1 else {}
    bias = [] if p.get("no_bias") else [(filters,)]
    return Example(x, w, *bias, kernel=kernel, num_filter=filters, **extra, **p)


def deconv(x, kernel, filters, groups=1, **p):
    w = (x[1], filters // groups, *kernel)
    extra = {"num_group": groups} if groups > 1 else {}
    bias = [] if p.get("no_bias", True) else [(filters,)]
    return Example(x, w, *bias, kernel=kernel, num_filter=filters, **extra, **p)


def batch_norm(*s, c=None, **p):
    c = c or s[1]
    return Example(s, positive(c), (c,), (c,), positive(c), **p)


EXAMPLES = {
    "FullyConnected": [
        Example((2, 3), (4, 3), (4,), num_hidden=4),
        Example((2, 3, 2), (4, 6), (4,), num_hidden=4),
        Example((2, 3, 2), (4, 2), (4,), num_hidden=4, flatten=False),
        Example((2, 3), (4, 3), num_hidden=4, no_bias=True),
    ],
    "Activation": [
        Example(distinct(3, 4), act_type=a, dtypes=HALF)
        for a in ("relu", "sigmoid", "tanh", "softrelu", "softsign")
    ],
    "LeakyReLU": [
        Example(distinct(2, 3, 2), act_type=a, **p)
        for a, p in (
            ("leaky", {}),
            ("leaky", {"slope": 0.1}),
            ("elu", {}),
            ("elu", {"slope": 1.0}),
            ("selu", {}),
            ("gelu", {}),
        )
    ]
    + [
        Example(distinct(2, 3, 2), (3,), act_type="prelu"),
        Example(distinct(2, 3), (3,), act_type="prelu"),
        Example(distinct(2, 3), (1,), act_type="prelu"),
        Example(distinct(4, 4), act_type="rrelu", same=False, grad=False, ask=False),
    ],
    "Dropout": [
        Example(real(20, 20), p=0.5, same=False, grad=False),
        Example((2, 3), p=0.0),
        Example(real(6, 6), p=0.25, axes=(1,), same=False, grad=False),
    ],
    "softmax": [
        Example((2, 3, 2), **p, dtypes=HALF) for p in ({}, {"axis": 1}, {"temperature": 2.0}, {"axis": 0})
    ]
    + [
        Example((2, 4), ints(5, 2, low=1, dtype="int32"), use_length=True, axis=-1),
        Example((2, 4, 3), ints(5, 2, 3, low=1, dtype="int32"), use_length=True, axis=1),
        Example((2, 3), dtype="float64", grad=False),
    ],
    "softmin": [Example((2, 3, 2), **p) for p in ({}, {"axis": 1}, {"temperature": 2.0})],
    "log_softmax": [Example((2, 3, 2), **p, dtypes=HALF) for p in ({}, {"axis": 1}, {"temperature": 2.0})],
    "SoftmaxActivation": [
        Example((2, 3)),
        Example((2, 3, 2), mode="channel"),
        Example((2, 3, 2), mode="instance", ask=False),
    ],
    "softmax_cross_entropy": [Example((3, 4), ints(4, 3))],
    "SoftmaxOutput": [
        Example((3, 4), ints(4, 3), **p, grad=False)
        for p in (
            {},
            {"grad_scale": 0.5},
            {"normalization": "batch"},
            {"normalization": "valid"},
            {"use_ignore": True, "ignore_label": 1},
            {"use_ignore": True, "ignore_label": 2, "normalization": "valid"},
            {"smooth_alpha": 0.25},
            {"out_grad": True},
        )
    ]
    + [
        Example((2, 3, 4), ints(3, 2, 4), multi_output=True, grad=False, **p)
        for p in (
            {},
            {"normalization": "batch"},
            {"normalization": "valid"},
            {"use_ignore": True, "ignore_label": 1},
            {"use_ignore": True, "ignore_label": 0, "normalization": "valid"},
            {"grad_scale": 2.0},
            {"smooth_alpha": 0.25},
        )
    ]
    + [
        Example((2, 3, 4), ints(4, 2, 3), preserve_shape=True, grad=False),
        Example((3, 4), Draw((3, 4), kind="probability"), grad=False),
        Example((3, 4), Draw((3, 4), kind="probability"), normalization="batch", grad_scale=2.0, grad=False),
        Example((2, 3, 2, 2), ints(3, 2, 2, 2), multi_output=True, grad=False),
    ],
    **{
        f"{n}RegressionOutput": [
            Example((3, 4), (3, 4), grad=False),
            Example((3, 1), (3,), grad=False),
            Example((3,), (3,), grad=False),
            Example((2, 2, 3), (2, 2, 3), grad_scale=0.5, grad=False),
        ]
        for n in ("Linear", "MAE", "Logistic")
    },
    "MakeLoss": [
        Example((3, 4), **p, grad=False)
        for p in (
            {},
            {"grad_scale": 2.0},
            {"normalization": "batch"},
            {"normalization": "valid", "valid_thresh": 0.5},
        )
    ],
    "make_loss": [Example((3, 4), grad=False)],
    "SVMOutput": [
        Example((3, 4), ints(4, 3), **p, grad=False)
        for p in ({}, {"use_linear": True}, {"margin": 0.5, "regularization_coefficient": 0.25})
    ],
    "IdentityAttachKLSparseReg": [
        Example(positive(4, 3, low=0.1, high=0.9), positive(3, low=0.1, high=0.5), grad=False, dtypes=ONE)
    ],
    "BatchNorm": [
        batch_norm(3, 2, 4),
        batch_norm(4, 3),
        batch_norm(2, 3, 2, 2, fix_gamma=False),
        batch_norm(2, 3, 2, 2, use_global_stats=True),
        batch_norm(2, 2, 2, 2, c=2, axis=-1, fix_gamma=False),
        batch_norm(4, 3, eps=0.25, momentum=0.5, fix_gamma=False),
        batch_norm(3, 2, 4, fix_gamma=False, use_global_stats=True),
    ],
    "BatchNorm_v1": [batch_norm(3, 2, 4, 1), batch_norm(4, 3, 2, 2, fix_gamma=False)],
    "LayerNorm": [
        Example((3, 4), (4,), (4,)),
        Example((2, 3, 4), (3,), (3,), axis=1),
        Example((3, 4), (4,), (4,), eps=0.5),
    ],
    "InstanceNorm": [Example((2, 3, 4), (3,), (3,)), Example((2, 3, 2, 2), (3,), (3,), eps=0.25)],
    "GroupNorm": [
        Example((2, 4, 3), (2,), (2,), num_groups=2),
        Example((2, 4, 2, 2), (4,), (4,), num_groups=4),
        Example((2, 3, 2), (1,), (1,)),
    ],
    "L2Normalization": [Example((2, 3, 2, 2), mode=m) for m in ("instance", "channel", "spatial")],
    "LRN": [
        Example((2, 5, 2, 2), nsize=n, **p)
        for n, p in ((3, {}), (5, {"alpha": 0.5, "knorm": 1.0}), (3, {"beta": 0.5, "alpha": 0.25}))
    ],
    "Convolution": [
        conv((2, 3, 5, 4), (3, 2), 2),
        conv((2, 2, 6, 5), (3, 3), 4, stride=(2, 1), pad=(1, 1)),
        conv((2, 4, 5, 5), (2, 2), 4, groups=2),
        conv((1, 2, 7, 7), (3, 3), 2, dilate=(2, 2)),
        conv((2, 3, 6), (3,), 2, stride=(2,), pad=(1,)),
        conv((1, 2, 4, 4, 3), (2, 2, 2), 3),
        conv((2, 3, 4, 4), (1, 1), 4, no_bias=True),
        conv((2, 2, 5, 5), (3, 3), 2, pad=(2, 2), no_bias=True),
        conv((1, 4, 4, 4), (3, 3), 4, groups=4, pad=(1, 1)),
        conv((3, 2, 4, 4), (4, 4), 3),
        Example((2, 5, 4, 3), (2, 3, 2, 3), (2,), kernel=(3, 2), num_filter=2, stride=(2, 1), layout="NHWC"),
        Example(
            (1, 4, 4, 4), (2, 3, 3, 2), kernel=(3, 3), num_filter=2, num_group=2, no_bias=True, layout="NHWC"
        ),
    ],
    "Deconvolution": [
        deconv((2, 3, 3, 4), (3, 2), 2),
        deconv((2, 2, 3, 3), (4, 4), 3, stride=(2, 2), pad=(1, 1)),
        deconv((1, 4, 3, 3), (2, 2), 4, groups=2),
        deconv((1, 2, 3, 3), (3, 3), 2, stride=(2, 2), pad=(1, 1), adj=(1, 1)),
        deconv((1, 2, 4), (3,), 2, stride=(2,)),
        deconv((2, 3, 3, 3), (3, 3), 2, no_bias=False),
        deconv((1, 2, 3, 3), (3, 3), 2, stride=(2, 2), target_shape=(6, 6)),
        deconv((1, 3, 4, 4), (1, 1), 2),
        deconv((1, 2, 3, 3), (3, 3), 2, stride=(2, 2), target_shape=(5, 5)),
        Example((1, 3, 4, 2), (2, 3, 2, 3), kernel=(3, 2), num_filter=3, stride=(2, 1), layout="NHWC"),
    ],
    "im2col": [Example((2, 2, 4, 4), kernel=(2, 2), **p) for p in ({}, {"stride": (2, 2)}, {"pad": (1, 1)})],
    "col2im": [
        Example((1, 8, 9), output_size=(4, 4), kernel=(2, 2)),
        Example((1, 8, 4), output_size=(4, 4), kernel=(2, 2), stride=(2, 2)),
    ],
    "Pooling": [
        Example(distinct(2, 2, 5, 6), kernel=k, pool_type=t, **p)
        for t in ("max", "avg", "sum")
        for k, p in (
            ((2, 2), {"stride": (2, 2)}),
            ((3, 2), {"stride": (2, 1), "pad": (1, 1)}),
            ((2, 2), {"stride": (2, 2), "pooling_convention": "full"}),
            ((3, 3), {"stride": (2, 2), "pad": (1, 1), "pooling_convention": "full"}),
        )
    ]
    + [
        Example(distinct(2, 2, 4, 4), pool_type=t, global_pool=True, kernel=(2, 2))
        for t in ("max", "avg", "sum")
    ]
    + [
        Example(distinct(1, 2, 7), kernel=(3,), stride=(2,), pool_type="max"),
        Example(distinct(1, 2, 4, 4, 3), kernel=(2, 2, 2), pool_type="avg"),
        Example(distinct(2, 2, 5, 5), kernel=(3, 3), pad=(1, 1), pool_type="avg", count_include_pad=False),
        Example(positive(1, 2, 4, 4), kernel=(2, 2), stride=(2, 2), pool_type="lp", p_value=2),
        Example(positive(1, 2, 5, 4), kernel=(3, 2), pool_type="lp", p_value=3),
        Example(distinct(1, 2, 5), kernel=(2,), stride=(2,), pooling_convention="same"),
        Example(distinct(1, 5, 4, 2), kernel=(2, 3), stride=(2, 1), pool_type="max", layout="NHWC"),
        Example(distinct(1, 5, 4, 2), kernel=(2, 3), pad=(1, 1), pool_type="avg", layout="NHWC"),
    ],
    "UpSampling": [
        Example((1, 2, 3, 2), scale=2, sample_type="nearest", num_args=1),
        Example((1, 2, 2, 2), (1, 3, 4, 4), scale=4, sample_type="nearest", num_args=2),
        Example(
            (1, 2, 2, 2), (1, 2, 4, 4), scale=2, sample_type="nearest", num_args=2, multi_input_mode="sum"
        ),
        Example((1, 2, 3, 3), (2, 1, 4, 4), scale=2, sample_type="bilinear", num_filter=2, num_args=2),
    ],
    "BilinearSampler": [Example((2, 2, 4, 5), real(2, 2, 3, 3, low=-1.2, high=1.2))],
    "GridGenerator": [
        Example((2, 6), transform_type="affine", target_shape=(3, 4)),
        Example((2, 2, 3, 4), transform_type="warp"),
    ],
    "SpatialTransformer": [
        Example(
            (2, 2, 4, 5),
            real(2, 6, low=-0.7, high=0.7),
            target_shape=(3, 4),
            transform_type="affine",
            sampler_type="bilinear",
        )
    ],
    "ROIPooling": [
        Example(
            distinct(2, 2, 6, 6), Draw((3, 5), kind="roi"), pooled_size=(2, 2), spatial_scale=s, grad=False
        )
        for s in (1.0, 0.5)
    ],
    "Correlation": [
        Example((1, 2, 5, 5), (1, 2, 5, 5), **p)
        for p in (
            {"max_displacement": 1, "pad_size": 1},
            {"kernel_size": 3, "max_displacement": 1, "pad_size": 2},
            {"max_displacement": 2, "stride2": 2, "pad_size": 2},
            {"max_displacement": 1, "pad_size": 1, "is_multiply": False},
            {"max_displacement": 1, "pad_size": 2, "stride1": 2},
        )
    ],
    "RNN": [
        rnn(m, layers=k, bidirectional=b, states=s)
        for m in ("rnn_relu", "rnn_tanh", "lstm", "gru")
        for k, b, s in ((1, False, False), (2, False, True), (1, True, True), (2, True, False))
    ]
    + [rnn("lstm", layers=2, p=0.5)],
    "CTCLoss": [
        Example((5, 2, 4), Draw((2, 2), 1, 4, "int")),
        Example((6, 2, 4), Draw((2, 3), 0, 3, "int"), blank_label="last"),
        Example((5, 2, 4), Draw((2, 3), 1, 4, "int"), ints(4, 2, low=1), use_label_lengths=True),
        Example((6, 2, 4), Draw((2, 2), 1, 4, "int"), ints(7, 2, low=4), use_data_lengths=True),
        Example(
            (6, 2, 4),
            Draw((2, 3), 1, 4, "int"),
            ints(7, 2, low=5),
            ints(3, 2, low=1),
            use_data_lengths=True,
            use_label_lengths=True,
        ),
    ],
}
