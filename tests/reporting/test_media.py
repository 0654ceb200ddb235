"""Summaries for TensorBoard, decoded again."""

import io

import numpy as np
import soundfile
from matplotlib.figure import Figure
from matplotlib.image import imread

from jaxgan.reporting import media


def test_audio_is_clipped_and_keeps_its_rate():
    [value] = media.audio(np.linspace(-2, 2, 801), 8000)("audio/tone").value
    assert value.tag == "audio/tone"
    assert value.audio.sample_rate == 8000
    samples, rate = soundfile.read(io.BytesIO(value.audio.encoded_audio_string))
    assert rate == 8000
    np.testing.assert_allclose(samples, np.clip(np.linspace(-2, 2, 801), -1, 1), atol=1e-4)


def test_image_keeps_its_pixels():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    [value] = media.image(pixels)("pictures/one").value
    assert (value.tag, value.image.height, value.image.width) == ("pictures/one", 5, 7)
    shown = imread(io.BytesIO(value.image.encoded_image_string), format="png")
    np.testing.assert_array_equal(np.round(shown * 255).astype(np.uint8), pixels)


def test_text_is_shown_verbatim():
    [value] = media.text("# not a heading\n\nsecond")("texts/sample").value
    assert value.tag.startswith("texts/sample")
    assert value.tensor.string_val == [b"    # not a heading\n\n    second"]
    assert value.metadata.plugin_data.plugin_name == "text"


def test_figure_is_an_image_of_its_own_size():
    drawing = Figure(figsize=(2, 1), dpi=50)
    drawing.subplots().plot([0, 1], color="red")
    [value] = media.figure(drawing)("figures/line").value
    assert (value.image.height, value.image.width) == (50, 100)
    shown = imread(io.BytesIO(value.image.encoded_image_string), format="png")
    assert shown.shape == (50, 100, 3)
    assert shown.std() > 0.05
