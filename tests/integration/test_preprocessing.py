"""The ready models of the example that read files: what they make of images and sounds, and of a broken file."""

from __future__ import annotations

import io
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image
from support.dbt import REPOSITORY
from support.formulas import FormulaModel, serving_formulas
from support.interfaces import tensors
from support.session import Session
from support.triton import Triton

pytestmark = pytest.mark.duckdb_only("the models of files read them with a function of DuckDB's")

EXAMPLES = REPOSITORY / "example_project" / "model_repository"
IMAGE = 'backend: "python"\n' + tensors(8, "IMAGE BYTES 1", "PIXELS FP32 {dims}")
AUDIO = 'backend: "python"\n' + tensors(1, "AUDIO BYTES 1", "SAMPLES FP32 {dims}")
RATE = 8_000


def _parameters(values: Mapping[str, str]) -> str:
    return "".join(
        f'parameters {{ key: "{key}" value: {{ string_value: "{text}" }} }}\n' for key, text in values.items()
    )


def _image_model(name: str, dims: str, **parameters: str) -> FormulaModel:
    config = IMAGE.replace("{dims}", dims) + _parameters(parameters)
    return FormulaModel(name, config, copy_of=EXAMPLES / "image-preprocessing")


def _audio_model(name: str, dims: str, batch: int = 1) -> FormulaModel:
    config = AUDIO.replace("{dims}", dims).replace("max_batch_size: 1", f"max_batch_size: {batch}")
    return FormulaModel(name, config + _parameters({"rate": str(RATE)}), copy_of=EXAMPLES / "audio-preprocessing")


MODELS = [
    FormulaModel("images_as_shipped", (EXAMPLES / "image-preprocessing" / "config.pbtxt").read_text().split("\n", 1)[1],
                 copy_of=EXAMPLES / "image-preprocessing"),
    _image_model("stretched", "3,2,4", scale="1"),
    _image_model("cropped", "3,2,2", resize="crop", scale="1"),
    _image_model("letterboxed", "3,4,4", resize="letterbox", fill="7", scale="1"),
    _image_model("grey_rows_first", "2,2,1", layout="HWC", scale="0.5", mean="10", std="2"),
    _image_model("normalised", "3,2,2", scale="0.5", mean="1, 2, 3", std="2, 4, 8"),
    _audio_model("any_length", "-1"),
    _audio_model("one_second", str(RATE), batch=4),
]  # fmt: skip


@pytest.fixture(scope="module")
def endpoint(triton: Triton) -> Generator[str, None, None]:
    """A server of the ready models, each with a few settings."""
    with serving_formulas(triton, MODELS):
        yield triton.url


@pytest.fixture
def session() -> Generator[Session, None, None]:
    """A warehouse with an empty table of files."""
    with Session() as opened:
        opened.sql("create table files (id integer, content blob)")
        yield opened


def _predict(
    session: Session, endpoint: str, model: str, output: str, files: list[bytes | None]
) -> list[tuple[object, ...]]:
    """Return id, output and error of each file."""
    session.connection.executemany("insert into files values (?, ?)", list(enumerate(files)))
    options = {"endpoint": endpoint, "model-name": model, "on-error": "null"}
    session.create_model("m", f"INPUT (content BLOB) OUTPUT (made {output})", options)
    session.build("out", "from ML_PREDICT(TABLE files, MODEL m, DESCRIPTOR(content))", ["m"])
    return session.sql("select id, made, ml_error from out order by id")


def _picture(array: object, format_: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    picture = array if isinstance(array, Image.Image) else Image.fromarray(np.asarray(array, dtype=np.uint8))
    picture.save(file, format_, **options)
    return file.getvalue()


#: Two rows of four pixels: left half red, right half blue.
HALVES = np.array([[[200, 0, 0]] * 2 + [[0, 0, 100]] * 2] * 2)


def _pixels(session: Session, endpoint: str, model: str, files: list[bytes | None]) -> list[np.ndarray[Any, Any]]:
    rows = _predict(session, endpoint, model, "FLOAT[][][]", files)
    assert [row[2] for row in rows] == [None] * len(files)
    return [np.array(row[1]) for row in rows]


def test_image_as_it_is(session: Session, endpoint: str) -> None:
    """A picture of the right size comes back pixel by pixel, channels first; JPEG is as near as JPEG can be."""
    png, jpeg = _pixels(session, endpoint, "stretched", [_picture(HALVES), _picture(HALVES, "JPEG", quality=100)])
    assert png.tolist() == HALVES.transpose(2, 0, 1).tolist()
    assert np.abs(jpeg - png).max() < 80


def test_image_is_resized(session: Session, endpoint: str) -> None:
    """Crop takes the middle; letterbox keeps the proportions and fills up; stretch takes all."""
    wide = np.array([[[10, 10, 10]] + [[90, 90, 90]] * 2 + [[10, 10, 10]]] * 2)
    (cropped,) = _pixels(session, endpoint, "cropped", [_picture(wide)])
    assert cropped.tolist() == [[[90.0, 90.0]] * 2] * 3
    session.sql("truncate files")
    (boxed,) = _pixels(session, endpoint, "letterboxed", [_picture(wide)])
    assert boxed[0].tolist() == [[7.0] * 4, [10.0, 90.0, 90.0, 10.0], [10.0, 90.0, 90.0, 10.0], [7.0] * 4]


def test_image_is_normalised(session: Session, endpoint: str) -> None:
    """A pixel becomes (pixel * scale - mean) / std, of its channel; HWC keeps the channels last, and one is grey."""
    colour = _picture(np.full((2, 2, 3), (100, 50, 20)))
    (pixels,) = _pixels(session, endpoint, "normalised", [colour])
    assert pixels[:, 0, 0].tolist() == [(50 - 1) / 2, (25 - 2) / 4, (10 - 3) / 8]
    session.sql("truncate files")
    (grey,) = _pixels(session, endpoint, "grey_rows_first", [_picture(np.full((2, 2), 100))])
    assert grey.tolist() == [[[20.0]] * 2] * 2


def test_every_kind_of_file(session: Session, endpoint: str) -> None:
    """Palettes, transparency, grey, 16 bits, CMYK and a photo that lies on its side are pictures like any other."""
    red = Image.new("RGB", (4, 2), (200, 0, 0))
    turned = Image.Exif()
    turned[0x0112] = 6  # the camera was held on its side
    sideways = Image.fromarray(np.rot90(HALVES.astype(np.uint8)).copy())
    files: list[bytes | None] = [
        _picture(red.quantize(4)),
        _picture(red.convert("RGBA")),
        _picture(Image.new("L", (4, 2), 200)),
        _picture(Image.fromarray(np.full((2, 4), 200 * 257, dtype=np.uint16))),
        _picture(red.convert("CMYK"), "JPEG", quality=100),
        _picture(sideways, exif=turned),
    ]
    palette, clear, grey, deep, ink, upright = _pixels(session, endpoint, "stretched", files)
    for pixels in (palette, clear):
        assert pixels[:, 0, 0].tolist() == [200.0, 0.0, 0.0]
    for pixels in (grey, deep):
        assert pixels[:, 0, 0].tolist() == [200.0] * 3
    assert np.abs(ink[:, 0, 0] - [200, 0, 0]).max() < 10
    assert upright.tolist() == HALVES.transpose(2, 0, 1).tolist()


def test_shipped_config(session: Session, endpoint: str) -> None:
    """As it is shipped, a picture becomes 3 x 32 x 32 numbers from -1 to 1."""
    (pixels,) = _pixels(session, endpoint, "images_as_shipped", [_picture(np.array([[0, 255]] * 2))])
    assert pixels.shape == (3, 32, 32)
    assert (pixels.min(), pixels.max()) == (-1.0, 1.0)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (
            _image_model("misspelt", "3,2,2", resise="crop"),
            r"unknown parameters \['resise'\]; known are \['fill', 'layout'",
        ),
        (_image_model("four_channels", "4,2,2"), "write the lengths of CHW, with C 1 or 3"),
        (_image_model("rows_first", "2,2,3"), "write the lengths of CHW, with C 1 or 3"),
        (
            _image_model("two_means", "3,2,2", mean="1, 2"),
            "mean has 2 numbers for 3 channels; write one, or one for each",
        ),
        (_image_model("fitted", "3,2,2", resize="fit"), "resize is fit; write stretch, crop or letterbox"),
        (_audio_model("unequal", "-1", batch=8), "write max_batch_size: 1, or a length in dims of the output"),
    ],
    ids=lambda value: value.name if isinstance(value, FormulaModel) else "",
)
def test_wrong_config_is_told_at_load(triton: Triton, model: FormulaModel, said: str) -> None:
    """A parameter that nobody knows, or that does not fit the dims, keeps the model from loading, and says so."""
    with pytest.raises(AssertionError, match=said), serving_formulas(triton, [model]):
        pass


def test_broken_image_fails_alone(session: Session, endpoint: str) -> None:
    """Files that cannot be decoded are failed rows that say why; every neighbour of the same request is right."""
    good = [_picture(np.full((2, 4, 3), shade)) for shade in range(1, 31)]
    files: list[bytes | None] = [*good[:11], b"GIF89a nothing", None, *good[11:], b"", good[0][:50]]
    rows = _predict(session, endpoint, "stretched", "FLOAT[][][]", files)
    errors = {row[0]: str(row[2]) for row in rows if row[2] is not None}
    assert errors.keys() == {11, 32, 33}
    assert errors[11].endswith("IMAGE: 14 bytes are no image file of JPEG or PNG")
    assert "IMAGE: 0 bytes are no image file" in errors[32]
    assert "IMAGE: an image file of 50 bytes cannot be decoded: image file is truncated" in errors[33]
    shades = [None if row[1] is None else np.array(row[1]).max() for row in rows]
    assert shades == [*range(1, 12), None, None, *range(12, 31), None, None]


def _huge_picture() -> bytes:
    """Return a PNG of a few hundred kilobytes that would take 600 MB."""
    file = io.BytesIO()
    Image.new("1", (13_000, 13_000)).save(file, "PNG")
    return file.getvalue()


def test_huge_image_is_refused(session: Session, endpoint: str) -> None:
    """A picture of more pixels than any camera has is refused before it takes the server's memory."""
    good = _picture(np.full((2, 4, 3), 5))
    huge, neighbour = _predict(session, endpoint, "stretched", "FLOAT[][][]", [_huge_picture(), good])
    assert "IMAGE: an image of 13,000 by 13,000 has more than 134,217,728 pixels" in str(huge[2])
    assert neighbour[2] is None


def _sound(samples: np.ndarray[Any, Any], rate: int, format_: str = "WAV", subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=format_, subtype=subtype)
    return file.getvalue()


def _tone(rate: int, seconds: float = 0.5) -> np.ndarray[Any, Any]:
    return np.asarray(0.5 * np.sin(2 * np.pi * 440 * np.arange(int(rate * seconds)) / rate))


def test_sound_of_any_length(session: Session, endpoint: str, tmp_path: Path) -> None:
    """Every format and rate becomes the same samples; stereo is the mean of both; each file keeps its own length."""
    stereo = np.stack([_tone(RATE), -_tone(RATE) / 2], axis=1)
    short = tmp_path / "short.flac"
    short.write_bytes(_sound(_tone(RATE, 0.25), RATE, "FLAC"))
    files: list[bytes | None] = [
        _sound(_tone(RATE), RATE, subtype="FLOAT"),
        _sound(_tone(RATE), RATE, subtype="PCM_U8"),
        _sound(_tone(44_100), 44_100, "FLAC"),
        _sound(_tone(48_000), 48_000, "OGG"),
        _sound(stereo, RATE, subtype="PCM_24"),
        short.read_bytes(),
    ]
    rows = _predict(session, endpoint, "any_length", "FLOAT[]", files)
    assert [row[2] for row in rows] == [None] * len(files)
    exact, bytewise, resampled, lossy, mean, shorter = (np.array(row[1]) for row in rows)
    assert np.abs(exact - _tone(RATE)).max() < 1e-6
    assert np.abs(bytewise - _tone(RATE)).max() < 0.01
    middle = slice(100, -100)  # the ends of what is resampled ring
    for samples in (resampled, lossy):
        assert samples.shape == exact.shape
        assert np.abs(samples - exact)[middle].max() < 0.02
    assert np.abs(mean - _tone(RATE) / 4).max() < 1e-4
    assert shorter.shape == (RATE // 4,)


def test_sound_of_many_channels(session: Session, endpoint: str) -> None:
    """A long sound of many channels, which is read piece by piece, is the mean of all of them."""
    tone = _tone(RATE, 10)
    channels = np.stack([tone, *[np.zeros_like(tone)] * 7], axis=1)
    ((_, samples, error),) = _predict(session, endpoint, "any_length", "FLOAT[]", [_sound(channels, RATE)])
    assert error is None
    assert np.abs(np.array(samples) - tone / 8).max() < 1e-4


def test_sound_of_one_length(session: Session, endpoint: str) -> None:
    """With a length in the output's dims, shorter files are filled up with silence and longer ones cut, in batches."""
    files: list[bytes | None] = [_sound(_tone(RATE, seconds), RATE, subtype="FLOAT") for seconds in (0.25, 1.5)]
    rows = _predict(session, endpoint, "one_second", "FLOAT[]", files)
    short, long = (np.array(row[1]) for row in rows)
    assert len(short) == len(long) == RATE
    assert np.abs(short[RATE // 4 :]).max() == 0
    assert np.abs(long - _tone(RATE, 1.5)[:RATE]).max() < 1e-6


def test_broken_sound_fails_alone(session: Session, endpoint: str) -> None:
    """A file that is no sound is a failed row that says why; its neighbours of the same request are right."""
    good = _sound(_tone(RATE), RATE)
    rows = _predict(session, endpoint, "one_second", "FLOAT[]", [good, b"RIFF and so on", good[:-100], b""])
    assert rows[0][2] is None
    assert "AUDIO: 14 bytes are no audio file that can be decoded: " in str(rows[1][2])
    assert rows[2][2] is None  # what is there of a cut recording can be heard
    assert "AUDIO: 0 bytes are no audio file" in str(rows[3][2])


def test_endless_sound_is_refused(session: Session, endpoint: str) -> None:
    """A file of hours, or of a rate that nothing records, is refused before it takes the server's memory."""
    files: list[bytes | None] = [_sound(_tone(RATE), 1), _sound(_tone(RATE), 2_000_000_000), _sound(_tone(RATE), RATE)]
    slow, fast, good = _predict(session, endpoint, "any_length", "FLOAT[]", files)
    assert "AUDIO: 4,000 samples at 1 a second are more than max_seconds = 3,600" in str(slow[2])
    assert "4,000 samples at 2,000,000,000 a second" in str(fast[2])
    assert good[2] is None
