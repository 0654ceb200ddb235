"""CartPole-v1: a pole on a cart that is pushed to the left or to the right (Barto et al. 1983).

The dynamics, the bounds and the rewards are those of Gymnasium's CartPole-v1, in float32.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageDraw

from jaxgan.control.environments.environment import Environment

GRAVITY = 9.8
CART_MASS, POLE_MASS = 1.0, 0.1
TOTAL_MASS = CART_MASS + POLE_MASS
HALF_LENGTH = 0.5  # of the pole
FORCE = 10.0
SECONDS = 0.02  # of a step
POSITION_BOUND = 2.4
ANGLE_BOUND = 12 * math.pi / 180
LIMIT = 500
WIDTH, HEIGHT = 300, 200  # of a picture


def reset(key: jax.Array) -> jax.Array:
    """Returns a state near the balance, float32 [4]: position, velocity, angle, its velocity."""
    return jax.random.uniform(key, (4,), minval=-0.05, maxval=0.05)


def step(
    state: jax.Array, action: jax.Array, key: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Pushes the cart to the left (0) or the right (1) and makes one Euler step.

    Returns:
        The state, the reward 1, and whether the cart or the pole has left its bounds.
    """
    del key
    _, velocity, angle, spin = state
    force = jnp.where(action == 1, FORCE, -FORCE)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    pushed = (force + POLE_MASS * HALF_LENGTH * spin**2 * sin) / TOTAL_MASS
    angular = (GRAVITY * sin - cos * pushed) / (
        HALF_LENGTH * (4 / 3 - POLE_MASS * cos**2 / TOTAL_MASS)
    )
    linear = pushed - POLE_MASS * HALF_LENGTH * angular * cos / TOTAL_MASS
    state = state + SECONDS * jnp.stack([velocity, linear, spin, angular])
    terminated = (jnp.abs(state[0]) > POSITION_BOUND) | (jnp.abs(state[2]) > ANGLE_BOUND)
    return state, jnp.ones(()), terminated


def draw(state: np.ndarray) -> np.ndarray:
    """Returns a picture of the cart and its pole, uint8 [200, 300, 3]."""
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    canvas = ImageDraw.Draw(image)
    scale, ground = WIDTH / (2 * POSITION_BOUND), HEIGHT * 3 // 4
    x = WIDTH / 2 + scale * float(state[0])
    length = 2 * HALF_LENGTH * scale
    tip = x + length * math.sin(state[2]), ground - 15 - length * math.cos(state[2])
    canvas.line([(0, ground), (WIDTH, ground)], "black")
    canvas.rectangle([x - 20, ground - 15, x + 20, ground], "black")
    canvas.line([(x, ground - 15), tip], (202, 152, 101), width=6)
    return np.asarray(image)


CARTPOLE = Environment(2, LIMIT, reset, step, lambda state: state, draw)
