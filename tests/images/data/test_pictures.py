import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from jaxgan.images.data import pictures


def read(source, channels=3, size=0):
    with pictures.limited():
        return pictures.read(source, channels, size)


def saved(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    file.seek(0)
    return file


def colours(height=6, width=8, channels=3):
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)


def test_rgb_and_grey_are_read_as_they_are():
    rgb, grey = colours(), colours(channels=1)
    np.testing.assert_array_equal(read(saved(Image.fromarray(rgb))), rgb)
    np.testing.assert_array_equal(read(saved(Image.fromarray(grey)), 1)[..., 0], grey)
    repeated = np.repeat(grey[..., None], 3, axis=-1)
    np.testing.assert_array_equal(read(saved(Image.fromarray(grey)), 3), repeated)
    luma = rgb @ [0.299, 0.587, 0.114]
    assert np.abs(read(saved(Image.fromarray(rgb)), 1)[..., 0] - luma).max() <= 0.51


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bit_grey_keeps_white_and_black(kind):
    values = np.array([[0, 257 * 7, 65535], [128, 129, 257 * 254]], np.uint16)
    expected = [[0, 7, 255], [0, 1, 254]]
    assert read(saved(Image.fromarray(values), kind), 1)[..., 0].tolist() == expected


def test_big_endian_16_bit_tiff_is_read():
    values = np.array([[0, 257 * 7, 65535]], ">u2")
    header = struct.pack(">2sHI", b"MM", 42, 8 + values.nbytes)
    fields = [
        *((256, 3, 3), (257, 3, 1), (258, 3, 16), (259, 3, 1), (262, 3, 1), (273, 4, 8)),
        *((277, 3, 1), (278, 3, 1), (279, 4, values.nbytes)),
    ]
    table = struct.pack(">H", len(fields))
    for tag, kind, value in fields:
        packed = struct.pack(">HH" if kind == 3 else ">I", *((value, 0) if kind == 3 else (value,)))
        table += struct.pack(">HHI", tag, kind, 1) + packed
    file = io.BytesIO(header + values.tobytes() + table + bytes(4))
    assert read(file, 1)[..., 0].tolist() == [[0, 7, 255]]


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_32_bit_pixels_are_refused(dtype):
    file = saved(Image.fromarray(np.ones((4, 4), dtype)), "TIFF")
    with pytest.raises(pictures.BadImageError, match="32-bit pixels, for which white is not"):
        read(file)


def test_transparent_pixels_are_composed_over_white():
    pixels = np.array([[[200, 0, 0, 0], [200, 0, 0, 255], [200, 0, 100, 51]]], np.uint8)
    expected = [[[255, 255, 255], [200, 0, 0], [244, 204, 224]]]
    assert read(saved(Image.fromarray(pixels, "RGBA"))).tolist() == expected
    grey = np.array([[[9, 0], [9, 255]]], np.uint8)
    assert read(saved(Image.fromarray(grey, "LA")), 1).tolist() == [[[255], [9]]]


def test_palettes_with_and_without_transparency_are_read():
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    image.putpalette([10, 20, 30, 200, 100, 50, 7, 7, 7])
    assert read(saved(image)).tolist() == [[[10, 20, 30], [200, 100, 50], [7, 7, 7]]]
    transparent = read(saved(image, transparency=b"\xff\x00"))
    assert transparent.tolist() == [[[10, 20, 30], [255, 255, 255], [7, 7, 7]]]
    by_index = read(saved(image, "GIF", transparency=2))
    assert by_index.tolist() == [[[10, 20, 30], [200, 100, 50], [255, 255, 255]]]


def test_black_and_white_and_cmyk_are_read():
    image = Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1")
    assert read(saved(image), 1).tolist() == [[[0], [255]]]
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    for kind in ("JPEG", "TIFF"):
        assert np.abs(read(saved(red, kind)).astype(int) - [255, 0, 0]).max() <= 3


def test_the_first_frame_of_an_animation_counts():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "lime", "blue")]
    for kind in ("GIF", "PNG", "TIFF"):
        file = saved(frames[0], kind, save_all=True, append_images=frames[1:])
        np.testing.assert_array_equal(read(file), np.full((4, 4, 3), [255, 0, 0]))


@pytest.mark.parametrize(
    ("orientation", "undo"),
    [
        (1, lambda a: a),
        (2, np.fliplr),
        (3, lambda a: np.rot90(a, 2)),
        (4, np.flipud),
        (6, lambda a: np.rot90(a, -1)),
        (8, np.rot90),
    ],
)
def test_the_orientation_of_exif_is_applied(orientation, undo):
    stored = colours()
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(read(saved(Image.fromarray(stored), exif=exif)), undo(stored))


@pytest.mark.parametrize(("height", "width"), [(6, 11), (11, 6), (6, 6)])
def test_a_sized_picture_is_the_square_at_its_centre(height, width):
    pixels = colours(height, width)
    top, left = (height - 6) // 2, (width - 6) // 2
    cropped = pixels[top : top + 6, left : left + 6]
    file = saved(Image.fromarray(pixels))
    np.testing.assert_array_equal(read(file, size=6), cropped)
    resized = Image.fromarray(cropped).resize((3, 3), Image.Resampling.LANCZOS)
    file.seek(0)
    np.testing.assert_array_equal(read(file, size=3), np.asarray(resized))


def test_reduction_does_not_alias_and_tiny_pictures_are_enlarged():
    lines = np.zeros((256, 256), np.uint8)
    lines[:, ::2] = 255
    reduced = read(saved(Image.fromarray(lines)), 1, 16)
    assert np.abs(reduced.astype(int) - 127.5).max() < 3
    enlarged = read(saved(Image.new("RGB", (1, 1), (9, 8, 7))), size=5)
    np.testing.assert_array_equal(enlarged, np.full((5, 5, 3), (9, 8, 7)))


def bomb(side):
    """A PNG file of a few bytes that claims side x side pixels."""

    def chunk(name, data):
        checked = name + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(99))), (b"IEND", b""))
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*parts) for parts in chunks))


@pytest.mark.parametrize("side", [10_000, 40_000])  # Pillow warns of the first only
def test_decompression_bombs_are_refused(side):
    with pytest.raises(pictures.BadImageError, match=r"more than Pillow's limit of \d+ pixels"):
        read(bomb(side), 1)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_truncated_files_are_refused(kind):
    content = saved(Image.fromarray(colours(64, 64)), kind).getvalue()
    for share in (0.05, 0.5, 0.9):
        with pytest.raises(pictures.BadImageError) as caught:
            read(io.BytesIO(content[: int(len(content) * share)]))
        assert "\n" not in str(caught.value)


def test_other_files_are_refused_with_the_reason(tmp_path):
    for content in (b"", b"hello", bytes(1000)):
        with pytest.raises(pictures.BadImageError, match="is not a picture that Pillow can read"):
            read(io.BytesIO(content))
    with pytest.raises(pictures.BadImageError, match=r"cannot be read \(No such file"):
        read(tmp_path / "gone.png")
    with pytest.raises(pictures.BadImageError, match=r"cannot be read \(Is a directory"):
        read(tmp_path)


def test_random_damage_never_raises_anything_else():
    random = np.random.default_rng(0)
    for kind in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"):
        content = np.frombuffer(saved(Image.fromarray(colours(20, 20)), kind).getvalue(), np.uint8)
        for _ in range(30):
            damaged = content.copy()
            places = random.integers(len(damaged), size=4)
            damaged[places] = random.integers(256, size=4)
            try:
                image = read(io.BytesIO(damaged.tobytes()), 3, 8)
            except pictures.BadImageError:
                continue
            assert (image.shape, image.dtype) == ((8, 8, 3), np.uint8)


def test_the_process_keeps_its_own_warning_filters():
    before = warnings.filters.copy()
    with pictures.limited():
        warnings.warn("a decoder's remark", UserWarning, stacklevel=1)
    assert warnings.filters == before
