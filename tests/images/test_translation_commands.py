"""sample.py --input, eval.py and jaxgan.load on trained translations."""

import json

import numpy as np
import pytest
from PIL import Image

import eval as evaluation
import jaxgan
import sample
import train
from configs import gan as gan_config
from jaxgan import compare
from jaxgan.core import config as configs
from jaxgan.core.errors import UserError
from jaxgan.images.evaluation.translation import of_pairs
from jaxgan.images.translate_files import BATCH
from jaxgan.images.translation import open_domains

SHORT = ["--config.rounds=1", "--config.steps_per_round=1", "--config.validation.every=1"]
SIDE = 16


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Both systems, trained on colour pictures of 16 x 16 pixels, of which one is damaged."""
    folder = tmp_path_factory.mktemp("runs")
    random = np.random.default_rng(0)
    (folder / "pairs").mkdir()
    for number in range(24):
        pixels = random.integers(0, 256, (SIDE, 2 * SIDE, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "pairs" / f"{number:02}.png")
    (folder / "pairs" / "11b.png").write_bytes(b"no picture")
    data = [
        *("--config.data.kind=paired", f"--config.data.root={folder / 'pairs'}"),
        *(f"--config.data.size={SIDE}", "--config.batch_size=8"),
    ]
    for name in ("pix2pix", "cyclegan"):
        config = f"--config=configs/{name}.py:tiny"
        assert train.main([config, f"--workdir={folder / name}", *SHORT, *data]) == 0
    return folder


@pytest.fixture
def pictures(tmp_path):
    """Pictures of several sizes and formats, and a damaged file between them."""
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    random = np.random.default_rng(1)
    pixels = random.integers(0, 256, (30, 20, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "a.jpg")
    Image.fromarray(pixels[:SIDE, :SIDE]).save(folder / "b.png")
    (folder / "c.png").write_bytes(b"no picture")
    Image.fromarray(pixels[..., 0]).save(folder / "deep" / "grey.bmp")
    Image.new("RGBA", (9, 7), (255, 0, 0, 90)).save(folder / "deep" / "clear.webp", lossless=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(folder / "turned.jpg", exif=exif)
    return folder


def translated(runs, name, source, output, *more):
    return sample.main(
        [f"--workdir={runs / name}", f"--input={source}", f"--output={output}", *more]
    )


def test_pictures_keep_their_names_sizes_and_formats(runs, pictures, tmp_path, capsys):
    assert translated(runs, "cyclegan", pictures, tmp_path / "out") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3:] == [
        "1 file cannot be used as found:",
        f"  {pictures / 'c.png'}: is not a picture that Pillow can read; skipped",
        f"wrote 5 files to {tmp_path / 'out'}",
    ]
    found = {}
    for path in (tmp_path / "out").rglob("*.*"):
        with Image.open(path) as image:
            name = path.relative_to(tmp_path / "out").as_posix()
            found[name] = (image.format, image.size, image.mode)
    assert found == {
        "a.jpg": ("JPEG", (20, 30), "RGB"),
        "b.png": ("PNG", (SIDE, SIDE), "RGB"),
        "deep/clear.webp": ("WEBP", (9, 7), "RGB"),
        "deep/grey.bmp": ("BMP", (20, 30), "RGB"),
        "turned.jpg": ("JPEG", (30, 20), "RGB"),
    }


def test_a_picture_is_translated_as_arrays_are(runs, pictures, tmp_path):
    translator = jaxgan.load(runs / "cyclegan", "last")
    assert translator.directions == ("a_to_b", "b_to_a")
    image = np.asarray(Image.open(pictures / "b.png"))
    for direction in translator.directions:
        output = tmp_path / direction
        flags = (pictures / "b.png", output, f"--direction={direction}")
        assert translated(runs, "cyclegan", *flags) == 0
        written = np.asarray(Image.open(output / "b.png"))
        np.testing.assert_array_equal(translator(image[None], direction)[0], written)
    np.testing.assert_array_equal(translator(image[None]), translator(image[None], "a_to_b"))
    assert (translator(image[None]) != translator(image[None], "b_to_a")).any()
    with pytest.raises(UserError, match=r"images: must be uint8 \[n, 16, 16, 3\], not float64"):
        translator(image[None] / 255)
    noisy = jaxgan.load(runs / "pix2pix", "last")
    assert noisy.directions == ("a_to_b",)
    with pytest.raises(UserError, match="direction=b_to_a: this run has only learned a_to_b"):
        noisy(image[None], "b_to_a")
    np.testing.assert_array_equal(noisy(image[None], seed=3), noisy(image[None], seed=3))


def test_more_pictures_than_a_batch_all_arrive(runs, tmp_path):
    (tmp_path / "in").mkdir()
    count = 2 * BATCH + 1
    for number in range(count):
        pixels = np.full((SIDE, SIDE), 7 * number, np.uint8)
        pixels[::3] = 255 - pixels[::3]
        Image.fromarray(pixels).save(tmp_path / "in" / f"{number}.png")
    assert translated(runs, "cyclegan", tmp_path / "in", tmp_path / "out") == 0
    translate = jaxgan.load(runs / "cyclegan", "last")
    for number in (0, BATCH, count - 1):
        inside, out = (
            np.asarray(Image.open(tmp_path / side / f"{number}.png").convert("RGB"))
            for side in ("in", "out")
        )
        # A batch and a single picture are different programs, which round differently on some
        # processors, and a byte may then be the next one.
        alone = translate(inside[None])[0].astype(int)
        assert np.abs(alone - out).max() <= 1
        assert np.mean(alone != out) < 0.02
    assert len(list((tmp_path / "out").iterdir())) == count


def test_mistakes_have_one_line(runs, pictures, tmp_path, capsys):
    output = tmp_path / "out"
    empty = tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.png").write_bytes(b"no picture")
    cases = [
        ((empty / "x", output), "x: there is no such file or folder"),
        ((empty, output), "empty: holds no pictures, such as .png or .jpg files"),
        ((tmp_path / "bad", output), "bad: none of its pictures can be translated"),
        ((pictures, pictures), f"would replace {pictures / 'a.jpg'}; give another folder"),
        (
            (pictures, output, "--direction=b_to_a"),
            "--direction=b_to_a: this run has only learned a_to",
        ),
        ((pictures, output, "--count=3"), "--count=3: with --input, each picture is translated"),
        ((pictures, output, "--direction=x"), "argument --direction: invalid choice: 'x'"),
    ]
    for arguments, message in cases:
        assert translated(runs, "pix2pix", *arguments) == 2
        assert message in capsys.readouterr().err.splitlines()[-1]
    assert not output.exists()
    flags = [f"--workdir={runs / 'pix2pix'}", f"--output={output}"]
    for more, message in {
        "--count=2": "which cannot sample; it can evaluate and translate",
        "--direction=a_to_b": "--direction=a_to_b: only --input translates pictures",
    }.items():
        assert sample.main([*flags, more]) == 2
        assert message in capsys.readouterr().err
    assert sample.main([flags[0], f"--input={pictures}"]) == 2
    assert "--output: give a folder to write the translations" in capsys.readouterr().err
    (tmp_path / "gan").mkdir()
    configs.write(gan_config.get_config("tiny"), tmp_path / "gan")
    assert translated(tmp_path, "gan", pictures, output) == 2
    assert "holds a run of 'gan', which cannot translate" in capsys.readouterr().err


def test_bad_training_files_are_listed(runs):
    [line] = (runs / "pix2pix" / "left_out.txt").read_text().splitlines()
    assert line.endswith("11b.png: is not a picture that Pillow can read; skipped")


def test_eval_measures_pairs_and_shows_them_side_by_side(runs, tmp_path):
    output = tmp_path / "eval"
    flags = [f"--workdir={runs / 'cyclegan'}", "--checkpoint=last", f"--output={output}"]
    assert evaluation.main(flags) == 0
    found = json.loads((output / "summary.json").read_text())
    names = {"l1", "psnr", "ssim", "sharpness", "kid_pixels", "distance_correlation"}
    assert set(found) == {"count"} | {
        f"{name}_{direction}" for name in names for direction in ("a_to_b", "b_to_a")
    }
    made = np.load(output / "samples.npz")
    assert found["count"] == sum(len(made[name]) for name in made.files) == 4
    config = configs.read(runs / "cyclegan")
    valid = open_domains(config, False, lambda _: None).valid
    expected = of_pairs(made["a_to_b"], valid.b)
    assert {name: found[f"{name}_a_to_b"] for name in expected} == pytest.approx(expected)
    with Image.open(output / "samples.png") as grid:
        assert grid.size[0] == 3 * SIDE + 2 * 2


def test_runs_are_compared(runs, tmp_path, capsys):
    paths = [str(runs / name) for name in ("pix2pix", "cyclegan")]
    assert compare.main([*paths, f"--output={tmp_path}", "--checkpoint=last"]) == 0
    found = json.loads((tmp_path / "summary.json").read_text())
    assert set(found) == {"pix2pix", "cyclegan"}
    assert "data:image/png" in (tmp_path / "report.html").read_text()
    capsys.readouterr()
