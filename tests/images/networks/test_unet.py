import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.core.compiling import INIT_OPTIONS
from jaxgan.images.networks.unet import UNet

compiled = functools.partial(jax.jit, compiler_options=INIT_OPTIONS)


@pytest.mark.parametrize("paths", [1, 2])
def test_every_path_reaches_the_result_and_has_an_encoder_of_its_own(paths):
    network = UNet(2, 0.0, 1, smallest=4)
    images = list(jax.random.normal(jax.random.key(0), (paths, 2, 8, 8, 1)))

    @compiled
    def found():
        variables = network.init(jax.random.key(1), *images)
        results = [network.apply(variables, *images)]
        for path in range(paths):
            changed = [-each if place == path else each for place, each in enumerate(images)]
            results.append(network.apply(variables, *changed))
        return variables["params"], results

    params, (result, *others) = found()
    assert sum(name.startswith("Conv") for name in params) == paths  # a level for each path
    assert result.shape == (2, 8, 8, 1)
    assert all(np.abs(other - result).max() > 0 for other in others)
    # The decoder of both paths reads twice as many channels.
    assert params["Doubling_0"]["kernel"].shape[2] == 2 * paths
    assert jnp.abs(result).max() <= 1
