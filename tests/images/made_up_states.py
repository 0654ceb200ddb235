"""States before the first update that need no compiled program, for tests of losses and steps."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

CONVOLUTION, DENSE = 0.02, 0.2
"""Standard deviations of drawn kernels: DCGAN's, and about that of flax for 25 inputs."""


def made_up(init):
    """Returns a state with the shapes of `init(key)`, for a function that is only traced.

    Kernels are drawn, scales and variances are 1, and all else is 0, as after flax's own
    initialisers. Drawing them with NumPy takes no compilation.

    Args:
        init: (PRNG key) -> a run state without memory, such as a system's `initial`.
    """
    shapes = jax.eval_shape(init, jax.random.key(0))
    random = np.random.default_rng(0)

    def fill(path, leaf):
        if path[-1].key == "kernel":
            scale = DENSE if leaf.ndim == 2 else CONVOLUTION
            return jnp.asarray(random.normal(0, scale, leaf.shape), leaf.dtype)
        return jnp.full(leaf.shape, path[-1].key in ("scale", "var"), leaf.dtype)

    def zeros(tree):
        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), tree)

    def player(shaped):
        params = jax.tree_util.tree_map_with_path(fill, shaped.params)
        return dataclasses.replace(
            shaped,
            params=params,
            state=jax.tree_util.tree_map_with_path(fill, shaped.state),
            opt_state=zeros(shaped.opt_state),
            average=params if jax.tree.leaves(shaped.average) else {},
        )

    players = {name: player(each) for name, each in shapes.players.items()}
    step = jnp.zeros((), jnp.int32)
    return dataclasses.replace(shapes, players=players, step=step, key=jax.random.key(0))
