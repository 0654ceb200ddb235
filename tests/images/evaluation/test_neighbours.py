import numpy as np
import pytest

from jaxgan.core.errors import UserError
from jaxgan.images.evaluation import neighbours
from jaxgan.images.evaluation.neighbours import (
    closest_pairs,
    density_coverage,
    first_collision,
    nearest,
    precision_recall,
    training_distance,
)

RANDOM = np.random.default_rng(0)
REAL = RANDOM.normal(size=(60, 3))
FAKE = 0.8 * RANDOM.normal(size=(45, 3)) + 0.4


def distance(a, b):
    return np.sqrt(np.sum((a - b) ** 2))


def radius(points, i, k):
    return sorted(distance(points[i], other) for j, other in enumerate(points) if j != i)[k - 1]


@pytest.fixture(params=[neighbours.BLOCK, 200], ids=["one block", "many blocks"])
def _blocks_of_rows(request, monkeypatch):
    monkeypatch.setattr(neighbours, "BLOCK", request.param)


@pytest.mark.usefixtures("_blocks_of_rows")
@pytest.mark.parametrize("k", [1, 3])
def test_precision_and_recall_by_loops(k):
    def share(queries, points):
        radii = [radius(points, i, k) for i in range(len(points))]
        return np.mean(
            [any(distance(q, p) <= r for p, r in zip(points, radii, strict=True)) for q in queries]
        )

    found = precision_recall(REAL, FAKE, k)
    assert found == pytest.approx((share(FAKE, REAL), share(REAL, FAKE)))
    assert 0 < found.precision < 1
    assert 0 < found.recall < 1


@pytest.mark.usefixtures("_blocks_of_rows")
@pytest.mark.parametrize("k", [1, 5])
def test_density_and_coverage_by_loops(k):
    radii = [radius(REAL, i, k) for i in range(len(REAL))]
    inside = np.array(
        [[distance(f, x) <= r for f in FAKE] for x, r in zip(REAL, radii, strict=True)]
    )
    found = density_coverage(REAL, FAKE, k)
    assert found == pytest.approx((inside.sum() / k / len(FAKE), inside.any(axis=1).mean()))
    assert 0 < found.coverage < 1


def test_a_set_covers_itself():
    assert precision_recall(REAL, REAL) == (1, 1)
    assert density_coverage(REAL, REAL).coverage == 1


def test_repeated_images_cover_themselves():
    """Their balls have radius 0."""
    repeated = np.repeat(REAL[:5] * 1e3 + 1e5, 8, axis=0)
    assert precision_recall(repeated, repeated) == (1, 1)
    assert density_coverage(repeated, repeated).coverage == 1
    assert density_coverage(repeated, repeated + 0.1).coverage == 0


def test_sets_that_are_far_apart_share_nothing():
    assert precision_recall(REAL, FAKE + 100) == (0, 0)
    assert density_coverage(REAL, FAKE + 100) == (0, 0)


def test_a_collapsed_generator_has_precision_without_recall():
    collapsed = REAL[0] + 1e-3 * RANDOM.normal(size=(50, 3))
    found = precision_recall(REAL, collapsed)
    assert found.precision == 1
    assert found.recall <= 1 / len(REAL)
    assert density_coverage(REAL, collapsed).coverage < 0.3


@pytest.mark.parametrize("metric", [precision_recall, density_coverage])
def test_order_and_position_do_not_matter(metric):
    expected = metric(REAL, FAKE)
    real, fake = REAL[::-1], FAKE[RANDOM.permutation(len(FAKE))]
    assert metric(real, fake) == pytest.approx(expected, rel=1e-12)
    assert metric(REAL + 1e6, FAKE + 1e6) == pytest.approx(expected, rel=1e-12)
    assert metric(7 * REAL, 7 * FAKE) == pytest.approx(expected, rel=1e-12)


def test_equal_distributions_have_density_1():
    real, fake = RANDOM.normal(size=(2, 1000, 2))
    found = density_coverage(real, fake)
    assert found.density == pytest.approx(1, abs=0.1)
    # A ball is empty if all of the 5 nearest of both sets together are real.
    assert found.coverage == pytest.approx(1 - 0.5**5, abs=0.03)


@pytest.mark.parametrize("metric", [precision_recall, density_coverage])
def test_too_few_samples_are_refused(metric):
    with pytest.raises(
        UserError, match=r"^real features: 4 samples have no 4-th nearest neighbour"
    ):
        metric(REAL[:4], FAKE, 4)
    with pytest.raises(UserError, match=r"^real features: 60 samples have no 0-th nearest"):
        metric(REAL, FAKE, 0)


def test_too_few_generated_samples_are_refused():
    with pytest.raises(UserError, match=r"^generated features: 3 samples have no 3-th nearest"):
        precision_recall(REAL, FAKE[:3])


@pytest.mark.parametrize("metric", [precision_recall, density_coverage])
def test_features_that_are_not_finite_are_refused(metric):
    with pytest.raises(UserError, match=r"^generated features: 1 of 45 rows"):
        metric(REAL, np.where(np.arange(45)[:, None] == 3, np.nan, FAKE))


@pytest.mark.usefixtures("_blocks_of_rows")
def test_nearest_by_loops():
    distances, indices = nearest(FAKE, REAL)
    for query, found, index in zip(FAKE, distances, indices, strict=True):
        every = [distance(query, x) for x in REAL]
        assert found == pytest.approx(min(every), rel=1e-9)
        assert index == np.argmin(every)


def test_training_distance_tells_copies_from_new_samples():
    train, held_out, new = RANDOM.normal(size=(3, 200, 4))
    found = training_distance(train, held_out, new)
    assert found.samples == pytest.approx(nearest(new, train)[0].mean())
    assert found.held_out == pytest.approx(nearest(held_out, train)[0].mean())
    assert found.ratio == pytest.approx(1, abs=0.15)
    assert training_distance(train, held_out, train[:50]).ratio == 0
    half = np.concatenate([train[:100], new[:100]])
    assert training_distance(train, held_out, half).ratio == pytest.approx(0.5, abs=0.1)


def test_held_out_images_that_were_trained_on_are_refused():
    with pytest.raises(
        UserError, match=r"^held-out features: every image is also a training image"
    ):
        training_distance(REAL, REAL[:10], FAKE)


@pytest.mark.parametrize(
    ("which", "name"), [(0, "training"), (1, "held-out"), (2, "generated")], ids=str
)
def test_training_distance_names_what_is_not_finite(which, name):
    sets = [REAL, REAL + 1, FAKE]
    sets[which] = np.full((4, 3), np.nan)
    with pytest.raises(UserError, match=rf"^{name} features: 4 of 4 rows"):
        training_distance(*sets)


@pytest.mark.usefixtures("_blocks_of_rows")
@pytest.mark.parametrize("count", [1, 7, 60 * 59 // 2])
def test_closest_pairs_by_loops(count):
    every = sorted(
        (distance(REAL[i], REAL[j]), i, j)
        for i in range(len(REAL))
        for j in range(i + 1, len(REAL))
    )
    distances, pairs = closest_pairs(REAL, count)
    np.testing.assert_allclose(distances, [d for d, _, _ in every[:count]], rtol=1e-9)
    np.testing.assert_array_equal(pairs, [pair for _, *pair in every[:count]])


@pytest.mark.usefixtures("_blocks_of_rows")
def test_the_first_collision_is_the_earliest_second_of_a_pair():
    points = 10 * np.arange(40.0)[:, None] * np.ones(2)
    assert first_collision(points, 1.0) == np.inf
    points[30] = points[35] + 0.1
    assert first_collision(points, 1.0) == 36
    points[20] = points[3] + 0.1
    assert first_collision(points, 1.0) == 21
    points[21] = points[3]
    assert first_collision(points, 1e-9) == 22
