"""Spectrograms of an evaluation's examples."""

import numpy as np
import pytest
from matplotlib.image import imread

from jaxgan.speech.evaluation.figures import Example, draw_spectrograms
from jaxgan.speech.networks.stft import FrontEnd


def noise(samples: int) -> np.ndarray:
    return np.random.default_rng(0).integers(-9000, 9000, samples, np.int16)


@pytest.mark.parametrize("samples", [100, 9000, 320000])
def test_examples_of_any_length_and_name_are_drawn(tmp_path, caplog, samples):
    silence = np.zeros(samples, np.int16)
    title = r"best: $\frac{$ a$b$ 日本 [x]"
    examples = [Example(title, silence, noise(samples), noise(samples) // 2)] * 2
    draw_spectrograms(examples, FrontEnd(), tmp_path / "s.png")
    assert caplog.records == []
    image = imread(tmp_path / "s.png")
    height, width, _ = image.shape
    assert width > height
    # The silent row is dark, the rows of noise are not.
    middle = image[:, width // 4, :3].mean(axis=1)
    assert middle[: height // 3].min() < 0.01
    assert np.median(middle[height // 3 :]) > 0.1
