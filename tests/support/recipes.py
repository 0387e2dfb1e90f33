"""What docs/recipes.md leaves out: the formulas of its models, what they read, and what must come out."""

from __future__ import annotations

import io
import re
import wave
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from support.dbt import REPOSITORY

PAGE = REPOSITORY / "docs" / "recipes.md"
_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"(?:--|#) (models/\w+\.sql|model_repository/([\w-]+)/config\.pbtxt)\n")
#: Sections without a model of their own.
NO_RECIPES = {"Other interfaces"}


@dataclass(frozen=True)
class Section:
    """A section of the page: its SQL files by path, and its configs by the name of the model."""

    files: Mapping[str, str]
    configs: Mapping[str, str]


def sections() -> dict[str, Section]:
    """Return the sections of the page by their headings.

    Raises:
        AssertionError: a snippet is no SQL file and no config.pbtxt by its first line.
    """
    _, *parts = _HEADING.split(PAGE.read_text(encoding="utf-8"))
    found = {}
    for heading, text in zip(parts[::2], parts[1::2], strict=True):
        files, configs = {}, {}
        for language, snippet in _FENCE.findall(text):
            named = _FILE.match(snippet)
            assert named, f"{heading}: begin this with the name of its file:\n{snippet}"
            assert language == ("protobuf" if named[2] else "sql"), f"{heading}: {named[1]}"
            if named[2]:
                configs[named[2]] = snippet
            else:
                files[named[1]] = snippet
        found[heading] = Section(files, configs)
    return found


@dataclass(frozen=True)
class Recipe:
    """What the test of a section needs.

    Args:
        query: of the tables that the section builds.
        rows: what it must return.
        formulas: by model and output; a model without is one of the example's, or an ensemble.
        tables: queries, by the names of the tables that the section reads.
        labels: of an output, by model.
    """

    query: str
    rows: list[tuple[object, ...]]
    formulas: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    tables: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


#: Models of the page that are copies of the example's.
COPIES = {
    "image-preprocessing": "image-preprocessing",
    "yolo-preprocessing": "image-preprocessing",
    "audio-preprocessing": "audio-preprocessing",
}
#: As many boxes as the first pixel's red says: 0, 1 or 2.
_YOLO = "np.reshape([[0, 1, 2, 3, 4, 5, n / 2] for n in range(round(float(images[0, 0, 320, 320] * 255)))], (-1, 7))"

RECIPES = {
    "Tabular: many columns, one tensor": Recipe(
        "select id, amount, fraud_probability from scored_transactions order by id",
        [(1, 10.0, 12.5), (2, None, 4.0), (3, 30.0, 33.0)],
        {"fraud": {"output__0": "np.nansum(input__0 * [1, 0.5, 1, 1], axis=1, keepdims=True)"}},
        {
            "transactions": "select * from (values "
            "(1, 10.0, 1, 2.0, 0), (2, null, 2, 3.0, null), (3, 30.0, 4, 0.5, 0.5)) as t("
            "id, amount, hours_since_last, merchant_risk, card_age)"
        },
    ),
    "Tabular: one tensor a column": Recipe(
        "select id, outcome, score from customers_at_risk order by id",
        [(1, "leaves", 0.75)],
        {
            "churn": {
                "PROBABILITIES": "np.array([[1, 3] if months < 6 and plan == b'monthly' else [4, 0] "
                "for months, plan in zip(TENURE_MONTHS.ravel(), PLAN.ravel())]) / 4"
            }
        },
        {
            "customers": "select * from (values (1, 3, 'monthly'), (2, 3, 'yearly'), (3, 40, 'monthly')) "
            "as t(id, tenure_months, plan)"
        },
        {"churn": "stays\nleaves\n"},
    ),
    "Named entities": Recipe(
        "select * from entities_in_texts order by id, position",
        [
            (1, 1, "Ada", "person"),
            (2, 1, "in", "other"),
            (2, 2, "Rome", "place"),
            (3, 1, "Eva", "person"),
            (3, 2, "in", "other"),
            (3, 3, "Oslo", "place"),
        ],
        {"entities": {"logits": "np.eye(3)[input_ids % 3 * attention_mask]"}},
        {
            "tokenised_texts": "select * from (values (1, [1], ['Ada']), (2, [3, 5], ['in', 'Rome']), "
            "(3, [4, 6, 8], ['Eva', 'in', 'Oslo'])) as t(id, input_ids, tokens)"
        },
    ),
    "Detection: as many boxes as there are": Recipe(
        "select * from things_in_photos order by photo, score",
        [
            ("one.jpg", 1.0, 2.0, 3.0, 4.0, 5, 0.0),
            ("two.jpg", 1.0, 2.0, 3.0, 4.0, 5, 0.0),
            ("two.jpg", 1.0, 2.0, 3.0, 4.0, 5, 0.5),
        ],
        {"yolo": {"output": _YOLO}},
    ),
    "Detection: a fixed number of boxes": Recipe(
        "select photo, box[4], score, class_id from things_in_street order by photo, class_id",
        [(photo, 4.0 * n + 3, 0.5, n) for photo, found in (("one.jpg", 1), ("two.jpg", 2)) for n in range(found)],
        {
            "detector-nms": {
                "num_dets": "[[file.count(b'thing')] for file in IMAGE.ravel()]",
                "det_boxes": "np.tile(np.arange(400).reshape(100, 4), (len(IMAGE), 1, 1))",
                "det_scores": "np.full((len(IMAGE), 100), 0.5)",
                "det_classes": "np.tile(np.arange(100), (len(IMAGE), 1))",
            }
        },
    ),
    "Images: files to classes": Recipe(
        "select picture, label, second_label, ml_error like '%9 bytes are no image file of JPEG or PNG' "
        "from classified_pictures order by picture",
        [
            ("blue.png", "blue", "green", None),
            ("broken.png", None, None, True),
            ("green.jpg", "green", "blue", None),
            ("red.png", "red", "blue", None),
        ],
        # The normalised colours, the darkest of which are not equal.
        {"resnet": {"scores": "input.mean((2, 3)) + [[0, 0.2, 0.1]]"}},
        labels={"resnet": "red\ngreen\nblue\n", "resnet-file": "red\ngreen\nblue\n"},
    ),
    "Images: in two calls": Recipe(
        "select scan, label, round(score::double, 4) from classified_scans order by scan",
        # White, as the last channel is normalised, and the formula adds to it.
        [(scan, "blue", round((1 - 0.406) / 0.225 + 0.1, 4)) for scan in ("blue.png", "green.png", "red.png")],
    ),
    "Images: pixels in a BLOB": Recipe(
        "select brightness from measured_frames order by taken_at",
        [(48.0,), (64.0,)],
        {"camera": {"brightness": "frame.mean((1, 2, 3))[:, None]"}},
        {
            "frames": "select timestamp '2026-01-01' + i * interval 1 hour as taken_at, "
            "repeat(chr(48 + 16 * i::int), 72)::blob as frame from range(2) t(i)"
        },
    ),
    "Raw tensors in a BLOB": Recipe(
        "select id, nearest from nearest_points order by id",
        [(1, 1.5), (2, 1.5)],
        {"depth": {"nearest": "depth_map.min((1, 2, 3))[:, None]"}},
        {
            "depth_maps": r"select * from (values (1, 2, 1, '\x00\x00\xC0\x3F\x00\x00\x00\x40'::blob), "
            r"(2, 1, 3, '\x00\x00\x00\x40\x00\x00\xC0\x3F\x00\x00\x00\x40'::blob)) as t(id, height, width, depth_map)"
        },
    ),
    "Audio": Recipe(
        "select recording, a.transcript, b.transcript from transcribed_calls a join transcribed_in_two_calls b "
        "using (recording) order by recording",
        [("high.wav", *["16000 samples"] * 2), ("low.wav", *["8000 samples"] * 2)],
        {
            "transcriber": {
                "TRANSCRIPT": "np.array([[f'{SAMPLES.shape[1]} samples'.encode()]] * len(SAMPLES), dtype=object)"
            }
        },
    ),
    "Embeddings": Recipe(
        "select id, similar_id, round(similarity::double, 3) from similar_articles order by id",
        [(1, 2, 0.949), (2, 1, 0.949), (3, 2, 0.894)],
        {
            "sentences": {
                "sentence_embedding": "np.array([[t.count(b'a'), t.count(b'b'), *[0] * 382] for t in TEXT.ravel()])"
            }
        },
        {"articles": "select * from (values (1, 'a'), (2, 'aaab'), (3, 'ab')) as t(id, title)"},
    ),
    "Recommender": Recipe(
        "select user_id, item_id, score from ranked_items order by user_id, score desc",
        [(1, 12, 24.75), (1, 11, 23.75), (2, 11, 122.75), (2, 10, 121.75)],
        {
            "ranker": {
                "score": "user_id + item_id + hour + dense.sum(1, keepdims=True) "
                "+ (100 if country is None else np.char.str_len(country.astype(str)))"
            }
        },
        {
            "user_items": "select u as user_id, i as item_id, 9::tinyint as hour, 0.5 as price, 0.25 as popularity, "
            "case u when 1 then 'DE' end as country from range(1, 3) a(u), range(10, 12 + 2 - u) b(i)"
        },
    ),
    "Segmentation": Recipe(
        "select tile, class_id, pixels from land_use where tile = 'one.jpg' order by class_id",
        [("one.jpg", 0, 4), ("one.jpg", 1, 4), ("one.jpg", 2, 8)],
        {"segmenter": {"MASK": "np.minimum(np.tile(np.arange(4)[:, None], (len(IMAGE), 1, 4)), 2)"}},
    ),
    "Time series": Recipe(
        "select shop, cast(day as varchar), sold from forecast_sales order by shop, day",
        [
            ("east", "2026-01-03", 2.0),
            ("east", "2026-01-04", 4.0),
            ("east", "2026-01-05", 6.0),
            ("west", "2026-01-04", 5.0),
            ("west", "2026-01-05", 10.0),
            ("west", "2026-01-06", 15.0),
        ],
        {"forecaster": {"forecast": "past_values[:, -1:] * [[1, 2, 3]]"}},
        {
            "sales": "select * from (values ('east', date '2026-01-02', 2), ('east', date '2026-01-01', 1), "
            "('west', date '2026-01-03', 5), ('west', date '2026-01-01', 3), ('west', date '2026-01-02', 4)) "
            "as t(shop, day, sold)"
        },
    ),
    "Any model, without its schema": Recipe(
        "select id, price, lowest, highest from priced_houses order by id",
        [(1, 52.0, 51.0, 53.0), (2, 103.0, 102.0, 104.0)],
        {"house-prices": {"price": "area + rooms", "range": "area + rooms + [[-1, 1]]"}},
        {"houses": "select * from (values (1, 50.0, 2), (2, 100.0, 3)) as t(id, area, rooms)"},
    ),
}


def write_files(project: Path) -> None:
    """Write the photos, pictures and recordings that the recipes read."""
    for folder in ("photos", "pictures", "scans", "calls"):
        (project / folder).mkdir()
    for number, name in enumerate(("none", "one", "two")):
        photo = Image.new("RGB", (64, 48), (number, number, number))
        photo.save(project / "photos" / f"{name}.jpg", comment=b"thing " * number)
    for name, colour in (("red.png", (255, 0, 0)), ("green.jpg", (0, 255, 0)), ("blue.png", (0, 0, 255))):
        Image.new("RGB", (300, 200), colour).save(project / "pictures" / name)
        Image.new("L", (300, 200), 255).save(project / "scans" / name.replace("jpg", "png"))
    (project / "pictures" / "broken.png").write_bytes(b"no image!")
    for name, rate, samples in (("low", 8_000, 4_000), ("high", 32_000, 32_000)):
        (project / "calls" / f"{name}.wav").write_bytes(_wav(rate, samples))


def _wav(rate: int, samples: int) -> bytes:
    """Return a recording of one second of silence or less, 16 bits."""
    file = io.BytesIO()
    with wave.open(file, "wb") as recording:
        recording.setnchannels(1)
        recording.setsampwidth(2)
        recording.setframerate(rate)
        recording.writeframes(np.zeros(samples, dtype="<i2").tobytes())
    return file.getvalue()
