"""Pictures: detection, segmentation, classes, texts in pictures."""

from __future__ import annotations

import numpy as np

from support.interfaces.interface import Interface, floats, formula_model, tensors

#: Three pictures, 3 x 4 x 4, of one colour each: 1, 2, 3.
_PICTURES = "select i as id, list_value({row}, {row}, {row}) as x from range(1, 4) t(i)".format(
    row="list_transform(range(4), lambda _: [i, i, i, i]::float[])"
)

VISION = [
    Interface(
        formula_model(
            "yolov8",
            tensors(8, "images FP32 3,4,4", "output0 FP32 6,5"),
            output0="images[:, :1, 0, 0, None] * np.arange(30).reshape(6, 5)",
        ),
        "INPUT (images FLOAT[][][]) OUTPUT (boxes FLOAT[][])",
        _PICTURES,
        [(floats(i * np.arange(30).reshape(6, 5)),) for i in (1, 2, 3)],
    ),
    Interface(
        # As many rows as were found: one request a picture.
        formula_model(
            "yolov7_end2end",
            tensors(0, "images FP32 -1,3,4,4", "output FP32 -1,7"),
            output="np.arange(7)[None] + np.arange(images[0, 0, 0, 0] - 1)[:, None]",
        ),
        "INPUT (images FLOAT[][][]) OUTPUT (output FLOAT[7][])",
        _PICTURES,
        [([tuple(float(k + n) for k in range(7)) for n in range(found)],) for found in (0, 1, 2)],
    ),
    Interface(
        formula_model(
            "efficientnms",
            tensors(
                8,
                "images FP32 3,4,4",
                "num_dets INT32 1; det_boxes FP32 3,4; det_scores FP32 3; det_classes INT32 3",
            ),
            num_dets="images[:, 0, 0, :1]",
            det_boxes="images[:, :1, :1, 0] * np.arange(12).reshape(3, 4)",
            det_scores="images[:, 0, :1, 0] / [2, 4, 8]",
            det_classes="images[:, 0, :1, 0] + np.arange(3)",
        ),
        "INPUT (images FLOAT[][][]) "
        "OUTPUT (num_dets INT, det_boxes FLOAT[4][3], det_scores FLOAT[], det_classes INT[3])",
        _PICTURES,
        [
            (
                i,
                tuple(tuple(float(i * (4 * row + k)) for k in range(4)) for row in range(3)),
                [i / 2, i / 4, i / 8],
                (i, i + 1, i + 2),
            )
            for i in (1, 2, 3)
        ],
    ),
    Interface(
        # Pictures of unequal size, with a mask, and the size that boxes are scaled to.
        formula_model(
            "detr",
            tensors(
                4,
                "pixel_values FP32 3,-1,-1; pixel_mask INT64 -1,-1; orig_size INT64 2",
                "logits FP32 2,3; pred_boxes FP32 2,4",
            ),
            logits="pixel_values.sum((1, 2, 3))[:, None, None] + np.arange(6).reshape(2, 3)",
            pred_boxes="np.tile(orig_size, 2)[:, None, :] * np.ones((1, 2, 1))",
        ),
        "INPUT (pixel_values FLOAT[][][], pixel_mask BIGINT[][], orig_size BIGINT[2]) "
        "OUTPUT (logits FLOAT[][], pred_boxes FLOAT[][])",
        "select i as id, list_transform(range(3), lambda c: list_transform(range(i), lambda r: [1.0, 1.0])) as x, "
        "list_transform(range(i), lambda r: [1, 1]) as mask, [i, 2]::bigint[2] as size from range(1, 4) t(i)",
        [(floats(6 * i + np.arange(6).reshape(2, 3)), [[i, 2.0, i, 2.0]] * 2) for i in (1, 2, 3)],
    ),
    Interface(
        formula_model(
            "pose",
            tensors(8, "input FP32 3,4,4", "keypoints FP32 5,3"),
            keypoints="input[:, :1, :1, 0] * np.ones((5, 3))",
        ),
        "INPUT (image FLOAT[][][]) OUTPUT (keypoints FLOAT[3][5])",
        _PICTURES,
        [(((float(i),) * 3,) * 5,) for i in (1, 2, 3)],
    ),
    Interface(
        # Height, width, channels as bytes, as a camera gives them.
        formula_model(
            "tf_mobilenet",
            tensors(8, "serving_default_input:0 UINT8 2,2,3", "StatefulPartitionedCall:0 FP32 4"),
            **{"StatefulPartitionedCall:0": "inputs['serving_default_input:0'][:, 0, 0, :1] * np.arange(4)"},
        ),
        "INPUT (pixels BLOB) OUTPUT (scores FLOAT[4])",
        "select i as id, repeat(chr(i::int), 12)::blob as pixels from range(1, 4) t(i)",
        [(tuple(float(i * k) for k in range(4)),) for i in (1, 2, 3)],
    ),
    Interface(
        formula_model(
            "segmentation_mask",
            tensors(8, "image FP32 3,4,4", "mask UINT8 4,4"),
            mask="np.minimum(image[:, 0], 2)",
        ),
        "INPUT (image FLOAT[][][]) OUTPUT (mask BLOB)",
        _PICTURES,
        [(bytes([min(i, 2)] * 16),) for i in (1, 2, 3)],
    ),
    Interface(
        formula_model(
            "segmentation_logits",
            tensors(8, "image FP32 3,-1,-1", "out FP32 2,-1,-1; aux FP32 2,-1,-1"),
            out="image[:, :2] * 2",
            aux="image[:, :2] * 3",
        ),
        "INPUT (image FLOAT[][][]) OUTPUT (out FLOAT[][][])",
        "select i as id, list_transform(range(3), lambda c: list_transform(range(i), lambda r: [1.0, 2.0])) as x "
        "from range(1, 4) t(i)",
        [([[[2.0, 4.0]] * i] * 2,) for i in (1, 2, 3)],
    ),
    Interface(
        formula_model(
            "video",
            tensors(2, "frames FP32 2,3,4,4", "logits FP32 3"),
            logits="frames.sum((1, 2, 3, 4))[:, None] * np.arange(3)",
        ),
        "INPUT (frames FLOAT[][][][]) OUTPUT (logits FLOAT[3])",
        f"select id, [x, x] as frames from ({_PICTURES})",
        [((0.0, 96.0 * i, 192.0 * i),) for i in (1, 2, 3)],
    ),
    Interface(
        # As many texts as the page has; each request has one page.
        formula_model(
            "ocr",
            tensors(1, "image BYTES 1", "rec_texts BYTES -1; rec_scores FP32 -1; det_boxes INT32 -1,4,2"),
            rec_texts="np.array([image[0, 0].split()], dtype=object)",
            rec_scores="[[len(word) / 4 for word in image[0, 0].split()]]",
            det_boxes="[[[[n, n]] * 4 for n, _ in enumerate(image[0, 0].split())]]",
        ),
        "INPUT (image BLOB) OUTPUT (rec_texts STRING[], rec_scores FLOAT[], det_boxes INT[2][4][])",
        "select i as id, encode(array_to_string(['one', 'two', 'three'][1:i], ' ')) as page from range(1, 4) t(i)",
        [
            (
                ["one", "two", "three"][:i],
                [0.75, 0.75, 1.25][:i],
                [((n, n),) * 4 for n in range(i)],
            )
            for i in (1, 2, 3)
        ],
    ),
    Interface(
        formula_model(
            "clip",
            tensors(
                8,
                "input_ids INT32 3; pixel_values FP32 3,4,4",
                "logits_per_image FP32 1; text_embeds FP32 2; image_embeds FP32 2",
            ),
            logits_per_image="input_ids.sum(1, keepdims=True) + pixel_values[:, :1, 0, 0]",
            text_embeds="input_ids[:, :2]",
            image_embeds="pixel_values[:, :2, 0, 0]",
        ),
        "INPUT (input_ids INT[3], pixel_values FLOAT[][][]) "
        "OUTPUT (similarity FLOAT, text_embeds FLOAT[2], image_embeds FLOAT[2])",
        f"select id, [1, 2, 3] as ids, x from ({_PICTURES})",
        [(6.0 + i, (1.0, 2.0), (float(i), float(i))) for i in (1, 2, 3)],
        {"tensor.similarity": "logits_per_image"},
    ),
    Interface(
        # Exported for one picture at a time.
        formula_model(
            "onnx_static_batch",
            tensors(0, "input FP32 1,3,4,4", "output FP32 1,3"),
            output="input[:, :1, 0, 0] * np.arange(3)",
        ),
        "INPUT (input FLOAT[][][]) OUTPUT (output FLOAT[3])",
        _PICTURES,
        [((0.0, float(i), 2.0 * i),) for i in (1, 2, 3)],
    ),
    Interface(
        # TensorFlow's object detection: channels last, every output a float.
        formula_model(
            "ssd_tensorflow",
            tensors(
                1,
                "input_tensor UINT8 -1,-1,3",
                "num_detections FP32 1; detection_boxes FP32 2,4; detection_classes FP32 2; detection_scores FP32 2",
            ),
            num_detections="input_tensor[:, 0, 0, :1]",
            detection_boxes="input_tensor.shape[1] * np.ones((1, 2, 4))",
            detection_classes="[[1, 2]]",
            detection_scores="input_tensor.shape[2] / np.array([[2, 4]])",
        ),
        "INPUT (input_tensor UTINYINT[3][][]) "
        "OUTPUT (num_detections FLOAT, detection_boxes FLOAT[4][2], detection_scores FLOAT[])",
        "select i as id, list_transform(range(i), lambda r: [[i, 0, 0], [1, 2, 3]]::utinyint[3][]) as x "
        "from range(1, 4) t(i)",
        [(float(i), ((float(i),) * 4,) * 2, [1.0, 0.5]) for i in (1, 2, 3)],
    ),
    Interface(
        # A point to look at for each picture, and masks of its size: Segment Anything.
        formula_model(
            "promptable_segmentation",
            tensors(
                1,
                "image_embeddings FP32 2,2,2; point_coords FP32 -1,2; point_labels FP32 -1; orig_im_size FP32 2",
                "masks BOOL 1,-1,-1; iou_predictions FP32 1",
            ),
            masks="np.arange(int(orig_im_size.prod())).reshape(1, 1, *orig_im_size[0].astype(int)) % 2 == 0",
            iou_predictions="image_embeddings.sum((1, 2, 3))[:, None] + point_coords.sum() + point_labels.sum()",
        ),
        "INPUT (image_embeddings FLOAT[][][], point_coords FLOAT[2][], point_labels FLOAT[], orig_im_size FLOAT[2]) "
        "OUTPUT (masks BOOLEAN[][], iou_predictions FLOAT)",
        "select i as id, [[[i, 0], [0, 0]], [[0, 0], [0, 0]]] as e, list_transform(range(i), lambda j: [1, 2]) as c, "
        "list_transform(range(i), lambda j: 0.5) as l, [i, 2] as s from range(1, 4) t(i)",
        [([[True, False]] * i, 4.5 * i) for i in (1, 2, 3)],
    ),
]
