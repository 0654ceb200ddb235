import numpy as np
import pytest
from image_configs import config

from jaxgan.core.errors import UserError
from jaxgan.images.data import toys


def test_the_centres_are_those_of_pacgan():
    ring = toys.ring_centres(1.0)
    np.testing.assert_allclose(np.hypot(*ring.T), 1)
    np.testing.assert_allclose(ring[:3], [[1, 0], [0.5**0.5, 0.5**0.5], [0, 1]], atol=1e-12)
    grid = toys.grid_centres(2.0)
    assert sorted(map(tuple, grid)) == [(x, y) for x in range(-4, 5, 2) for y in range(-4, 5, 2)]


@pytest.mark.parametrize(("kind", "modes"), [("ring", 8), ("grid25", 25)])
def test_points_lie_around_their_mode(kind, modes):
    data = config(kind=kind, train=20000, valid=500).data
    data.ring.update({"radius": 2**0.5, "sd": 0.02})
    train, valid, problems, notes = {"ring": toys.open_ring, "grid25": toys.open_grid25}[kind](data)
    assert (train.values.shape, valid.values.shape) == ((20000, 2), (500, 2))
    assert (train.values.dtype, train.labels.dtype) == (np.float32, np.int32)
    assert (problems, notes, len(train.classes)) == ((), (), modes)
    centres = toys.ring_centres(2**0.5) if kind == "ring" else toys.grid_centres(2.0)
    sd = 0.02 if kind == "ring" else 0.05
    offsets = train.values - centres[train.labels]
    np.testing.assert_allclose(offsets.std(axis=0), sd, rtol=0.03)
    np.testing.assert_allclose(offsets.mean(axis=0), 0, atol=4 * sd / 20000**0.5)
    counts = np.bincount(train.labels, minlength=modes)
    expected = 20000 / modes
    assert np.sum((counts - expected) ** 2 / expected) < modes + 4 * (2 * modes) ** 0.5
    assert not np.isin(valid.values, train.values).all(axis=1).any()


def test_points_depend_only_on_the_seed():
    one, same, other = (
        toys.open_ring(config(kind="ring", seed=seed).data).train.values for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).all()


def save(path, points):
    if path.suffix == ".npy":
        np.save(path, points)
    else:
        path.write_text("\n".join(f"{x!r},{y!r}" for x, y in points.tolist()))
    return str(path)


@pytest.mark.parametrize("name", ["p.npy", "p.csv", "P.CSV"])
def test_a_file_of_points_is_divided_without_overlap(tmp_path, name):
    points = np.random.default_rng(0).normal(size=(50, 2))
    root = save(tmp_path / name, points)
    train, valid, *_ = toys.open_points(config(kind="points", root=root).data)
    assert (len(train), len(valid)) == (45, 5)
    assert set(train.labels) == set(valid.labels) == {-1}
    both = np.concatenate([train.values, valid.values])
    assert both.dtype == np.float32
    order = np.lexsort(both.T)
    np.testing.assert_array_equal(both[order], points.astype("f4")[np.lexsort(points.T)])


def test_a_table_may_have_a_heading_a_byte_order_mark_and_empty_lines(tmp_path):
    path = tmp_path / "p.csv"
    path.write_bytes("\ufeffx, y\r\n1, 2\r\n\r\n3e0,-4\r\n".encode())
    assert toys.read_points(str(path)).tolist() == [[1, 2], [3, -4]]
    path.write_bytes("\ufeff1,2\n3,4\n".encode())
    assert toys.read_points(str(path)).tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("1,2\n3,x\n", r"p\.csv cannot be read as points \(line 2 is '3,x'\)"),
        ("1,2\n3\n", r"line 2 holds 1 numbers, not 2"),
        ("1,2,3\n", r"line 1 holds 3 numbers, not 2"),
        ("1,2\n3,nan\n", r"point 2 is not finite"),
        ("1,2\n3,1e300\n", r"point 2 is not finite"),
        ("x,y\n", r"has the shape \[0, 2\]: points need \[n, 2\]"),
        ("1,2\n", r"one point is not enough"),
    ],
)
def test_mistakes_in_a_table_are_named(tmp_path, content, says):
    path = tmp_path / "p.csv"
    path.write_text(content)
    with pytest.raises(UserError, match=says) as caught:
        toys.open_points(config(kind="points", root=str(path)).data)
    assert "\n" not in str(caught.value)


def test_other_files_are_refused(tmp_path):
    def refused(name, says):
        with pytest.raises(UserError, match=says):
            toys.read_points(str(tmp_path / name))

    refused("p.txt", r"give a \.csv or \.npy file")
    refused("", r"give a \.csv or \.npy file")
    refused("gone.npy", "No such file")
    np.save(tmp_path / "three.npy", np.zeros((4, 3)))
    refused("three.npy", r"has the shape \[4, 3\]")
    np.save(tmp_path / "complex.npy", np.zeros((4, 2), complex))
    refused("complex.npy", "holds complex128 values")
    np.save(tmp_path / "object.npy", np.array([[1, None]]), allow_pickle=True)
    refused("object.npy", "cannot be read as points")
    np.savez(tmp_path / "several.npz", np.zeros((4, 2)))
    (tmp_path / "several.npz").rename(tmp_path / "several.npy")
    refused("several.npy", "it holds several arrays")
    (tmp_path / "latin.csv").write_bytes(b"1,2\n\xe9,3\n")
    refused("latin.csv", "cannot be read as points")
