"""Examples of the operators of detectors, of attention, and of those that MXNet keeps apart with them."""

from .draw import Draw, Example, distinct, ints, positive, unit


def boxes(*shape):
    return Draw((*shape, 4), kind="boxes")


def detections(*shape, low=0, high=2):
    return Draw((*shape, 6), low, high, kind="detections")


def still(draw):
    """An input whose gradient is none."""
    draw.smooth = False
    return draw


ROIS = [Draw((3, 5), kind="roi"), Draw((2, 5), kind="roi")]
SINGLE = ("float32",)

EXAMPLES = {
    "_contrib_box_iou": [
        Example(boxes(3), boxes(2, 2), grad=False, **p)
        for p in ({}, {"format": "corner"}, {"format": "center"})
    ],
    "_contrib_box_nms": [
        Example(detections(8), grad=False),
        Example(detections(2, 6), id_index=0, overlap_thresh=0.3, grad=False),
        Example(detections(6), id_index=0, force_suppress=True, valid_thresh=0.4, grad=False),
        Example(detections(2, 2, 5), topk=3, overlap_thresh=0.7, grad=False),
        Example(detections(7, high=3), id_index=0, background_id=1, out_format="center", grad=False),
        Example(detections(7), in_format="center", out_format="corner", overlap_thresh=0.2, grad=False),
        Example(detections(5), valid_thresh=2.0, grad=False),
    ],
    "_contrib_bipartite_matching": [
        Example(distinct(3, 2), threshold=1e-12, grad=False),
        Example(distinct(2, 3, 4), threshold=100.0, is_ascend=True, grad=False),
        Example(distinct(4, 5), threshold=-0.2, topk=2, grad=False),
    ],
    "_contrib_box_encode": [
        Example(
            ints(2, 2, 3, low=-1),
            ints(2, 2, 3),
            boxes(2, 3),
            boxes(2, 2),
            (4,),
            positive(4),
            grad=False,
            dtypes=SINGLE,
        )
    ],
    "_contrib_box_decode": [
        Example((2, 3, 4), boxes(1, 3), grad=False, dtypes=SINGLE, **p)
        for p in ({}, {"format": "corner"}, {"std0": 0.1, "std1": 0.2, "std2": 0.3, "std3": 0.4, "clip": 0.2})
    ],
    "_contrib_MultiBoxPrior": [
        Example((1, 2, 3, 4), grad=False, dtypes=SINGLE, **p)
        for p in (
            {},
            {"sizes": (0.5, 0.25), "ratios": (1, 2, 0.5)},
            {"sizes": (0.9,), "ratios": (2, 0.5), "clip": True},
            {"steps": (0.2, 0.3), "offsets": (0.4, 0.6)},
        )
    ],
    "_contrib_MultiBoxTarget": [
        Example(boxes(1, 6), Draw((2, 3, 5), kind="labels"), (2, 3, 6), grad=False, dtypes=SINGLE, **p)
        for p in (
            {},
            {"overlap_threshold": 0.2},
            {"negative_mining_ratio": 1, "negative_mining_thresh": 0.4},
            {"negative_mining_ratio": 3, "ignore_label": -2, "variances": (0.2, 0.2, 0.1, 0.1)},
            {"negative_mining_ratio": 0.5, "minimum_negative_samples": 2, "overlap_threshold": 0.3},
        )
    ],
    "_contrib_MultiBoxDetection": [
        Example(
            positive(2, 3, 6, high=1.0), Draw((2, 24), -0.5, 0.5), boxes(1, 6), grad=False, dtypes=SINGLE, **p
        )
        for p in (
            {},
            {"threshold": 0.6, "clip": False},
            {"nms_threshold": 0.1, "force_suppress": True},
            {"nms_topk": 3, "nms_threshold": 0.9},
            {"nms_threshold": -1, "variances": (0.2, 0.2, 0.1, 0.1)},
        )
    ],
    "_contrib_ROIAlign": [
        Example((2, c, 6, 6), still(rois), pooled_size=(2, 3), spatial_scale=s, **p)
        for rois, c, s, p in (
            (ROIS[0], 2, 1.0, {}),
            (ROIS[1], 2, 0.5, {"sample_ratio": 2}),
            (ROIS[1], 12, 1.0, {"position_sensitive": True, "grad": False}),  # MXNet's gradients are enough
            (Draw((3, 5), kind="regions"), 2, 0.8, {"aligned": True, "sample_ratio": 1}),
        )
    ],
    "_contrib_RROIAlign": [
        Example((2, 2, 6, 6), Draw((3, 6), 0, 1.99), pooled_size=(2, 3), spatial_scale=s, dtypes=SINGLE, **p)
        for s, p in ((1.0, {}), (2.0, {"sampling_ratio": 2}))
    ],
    "_contrib_PSROIPooling": [
        Example(
            (2, 8, 6, 6), still(Draw((3, 5), kind="roi")), spatial_scale=s, output_dim=2, pooled_size=2, **p
        )
        for s, p in ((1.0, {}), (0.5, {"group_size": 2}))
    ],
    "_contrib_interleaved_matmul_selfatt_qk": [Example((3, 2, 24), heads=h) for h in (1, 2, 4)],
    "_contrib_interleaved_matmul_selfatt_valatt": [
        Example((3, 2, 24), (2 * h, 3, 3), heads=h) for h in (1, 2, 4)
    ],
    "_contrib_interleaved_matmul_encdec_qk": [Example((2, 2, 8), (3, 2, 16), heads=h) for h in (1, 2)],
    "_contrib_interleaved_matmul_encdec_valatt": [
        Example((3, 2, 16), (2 * h, 2, 3), heads=h) for h in (1, 2)
    ],
    "_contrib_BilinearResize2D": [
        Example((1, 2, 4, 5), **p)
        for p in (
            {"height": 3, "width": 7},
            {"height": 8, "width": 2, "align_corners": False},
            {"height": 1, "width": 5},
            {"scale_height": 2.0, "scale_width": 0.5, "mode": "odd_scale"},
            {"scale_height": 1.5, "scale_width": 1.5},
            {"mode": "to_even_up"},
            {"mode": "to_odd_down"},
        )
    ]
    + [Example((1, 2, 4, 5), still(Draw((1, 2, 3, 6))), mode="like")],
    "_image_to_tensor": [
        Example(ints(256, 3, 2, 3, dtype="uint8"), grad=False),
        Example(ints(256, 2, 2, 4, 1, dtype="uint8"), grad=False),
    ],
    "_image_normalize": [
        Example((3, 2, 3), mean=(0.1, 0.2, 0.3), std=(0.5, 2, 3), dtypes=SINGLE),
        Example((2, 1, 2, 3), mean=(0.5,), std=(2,), dtypes=SINGLE),
    ],
    "_image_crop": [
        Example((5, 6, 3), x=1, y=2, width=3, height=2, dtypes=SINGLE),
        Example((2, 4, 4, 1), x=0, y=1, width=4, height=2, dtypes=SINGLE),
    ],
    "_image_flip_left_right": [Example((2, 3, 3), dtypes=SINGLE, ask=False)],
    "_image_flip_top_bottom": [Example((2, 3, 3), dtypes=SINGLE, ask=False)],
    "_contrib_fft": [Example((2, 4), compute_size=2, ask=False), Example((1, 5), ask=False)],
    "_contrib_ifft": [Example((2, 8), ask=False), Example((3, 6), compute_size=2, ask=False)],
    "_contrib_count_sketch": [
        Example((3, 5), still(ints(4, 1, 5)), still(ints(2, 1, 5, low=-1)), out_dim=4, ask=False)
    ],
    **{
        name: [
            Example(
                positive(n, 8, 3, 4, high=1.0),
                Draw((n, 16, 3, 4), -0.3, 0.3),
                Draw((n, 3), kind="pictures"),
                feature_stride=4,
                scales=(1, 2),
                ratios=(0.5, 1),
                grad=False,
                dtypes=SINGLE,
                **p,
            )
            for p in (
                {"rpn_min_size": 2, "rpn_post_nms_top_n": 6},
                {
                    "rpn_min_size": 4,
                    "rpn_post_nms_top_n": 5,
                    "rpn_pre_nms_top_n": 9,
                    "threshold": 0.4,
                    "output_score": True,
                },
                {"rpn_min_size": 1, "rpn_post_nms_top_n": 8, "iou_loss": True, "output_score": True},
            )
        ]
        for name, n in (("_contrib_Proposal", 1), ("_contrib_MultiProposal", 2))
    },
    "_contrib_DeformableConvolution": [
        Example((2, 2, 5, 5), unit(2, 8, 4, 4), (3, 2, 2, 2), (3,), kernel=(2, 2), num_filter=3),
        Example(
            (1, 4, 4, 5),
            unit(1, 36, 2, 3),
            (4, 2, 3, 3),
            kernel=(3, 3),
            stride=(2, 2),
            pad=(1, 1),
            num_filter=4,
            num_group=2,
            num_deformable_group=2,
            no_bias=True,
            grad=False,
        ),
    ],
    "_contrib_ModulatedDeformableConvolution": [
        Example(
            (2, 2, 5, 5),
            unit(2, 8, 4, 4),
            positive(2, 4, 4, 4),
            (3, 2, 2, 2),
            (3,),
            kernel=(2, 2),
            num_filter=3,
        ),
        Example(
            (1, 4, 4, 5),
            unit(1, 36, 2, 3),
            positive(1, 18, 2, 3),
            (4, 2, 3, 3),
            kernel=(3, 3),
            stride=(2, 2),
            pad=(1, 1),
            num_filter=4,
            num_group=2,
            num_deformable_group=2,
            no_bias=True,
            grad=False,
        ),
    ],
    "_contrib_SyncBatchNorm": [
        Example((2, 3, 2, 2), positive(3), (3,), (3,), positive(3), key="a", **p)
        for p in (
            {"fix_gamma": False},
            {"fix_gamma": False, "use_global_stats": True},
        )
    ],
    "_contrib_group_adagrad_update": [
        Example(
            (4, 3), (4, 3), positive(4, 1), lr=0.5, grad=False, backward=False, ask=False, dtypes=SINGLE, **p
        )
        for p in ({}, {"rescale_grad": 0.5, "clip_gradient": 0.25})
    ],
}
