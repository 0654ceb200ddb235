import numpy as np
import pytest

from jaxgan.core import devices
from jaxgan.core.state import Player
from jaxgan.images.data import overlays
from jaxgan.images.evaluation.layers import mean_iou, measure_layers


def test_the_intersection_over_union_by_hand():
    wanted = np.zeros((3, 2, 2), bool)
    wanted[0, 0], wanted[1, 0, 0] = True, True
    found = np.zeros((3, 2, 2), bool)
    found[0, :, 0], found[1, 0, 0], found[2] = True, True, True
    assert mean_iou(found, wanted) == pytest.approx((1 / 3 + 1) / 2)
    assert np.isnan(mean_iou(found, np.zeros((3, 2, 2), bool)))


@pytest.mark.parametrize("masks", [True, False])
def test_a_layer_that_is_the_object_is_found(masks):
    pictures = overlays.make("valid", 500, 0).values
    values = pictures.astype(np.float32) / 127.5 - 1
    objects = overlays.mask(pictures).astype(np.float32)

    def draw(generator, key, count):
        return values[:count], np.stack([np.full_like(objects, 0.25), objects], axis=1)

    mesh = devices.make_mesh(1)
    player = Player(params={}, state={}, opt_state=())
    metrics, objective = measure_layers(draw, masks, 0, mesh)({"generator": player})()
    assert np.isnan(objective)
    assert metrics.pop("eval/opacity_1") == pytest.approx(0.25)
    assert metrics.pop("eval/opacity_2") == pytest.approx(objects.mean(), rel=1e-5)
    if masks:
        assert metrics == {"eval/mask_iou": 1, "eval/mask_iou_random_layer": 0.5}
    else:
        assert metrics == {}
