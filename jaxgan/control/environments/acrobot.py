"""Acrobot-v1: two links of which only the joint between them is driven (Sutton 1996).

The goal is to lift the end of the second link by the length of one link above the first joint. The
dynamics ("book"), the bounds and the rewards are those of Gymnasium's Acrobot-v1, in float32.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageDraw

from jaxgan.control.environments.environment import Environment

GRAVITY = 9.8
LENGTH = 1.0  # of the first link
CENTRE = 0.5  # of mass, along each link
MASS, INERTIA = 1.0, 1.0  # of each link
SECONDS = 0.2  # of a step
MAX_SPEEDS = (4 * math.pi, 9 * math.pi)
LIMIT = 500
SIZE = 200  # of a picture


def reset(key: jax.Array) -> jax.Array:
    """Returns a state near the rest, float32 [4]: both angles, both angular velocities."""
    return jax.random.uniform(key, (4,), minval=-0.1, maxval=0.1)


def step(
    state: jax.Array, action: jax.Array, key: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Applies the torque `action` - 1 for one Runge-Kutta step of fourth order.

    Returns:
        The state, the reward -1 (0 for the last step), and whether the goal is reached.
    """
    del key
    torque = action - 1.0
    k1 = _derivative(state, torque)
    k2 = _derivative(state + SECONDS / 2 * k1, torque)
    k3 = _derivative(state + SECONDS / 2 * k2, torque)
    k4 = _derivative(state + SECONDS * k3, torque)
    state = state + SECONDS / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    angles = jnp.remainder(state[:2] + math.pi, 2 * math.pi) - math.pi
    most = jnp.array(MAX_SPEEDS)
    state = jnp.concatenate([angles, jnp.clip(state[2:], -most, most)])
    terminated = -jnp.cos(state[0]) - jnp.cos(state[0] + state[1]) > 1
    return state, jnp.where(terminated, 0.0, -1.0), terminated


def observe(state: jax.Array) -> jax.Array:
    """Returns cosine and sine of both angles, and both angular velocities, float32 [6]."""
    first, second = state[0], state[1]
    angles = jnp.stack([jnp.cos(first), jnp.sin(first), jnp.cos(second), jnp.sin(second)])
    return jnp.concatenate([angles, state[2:]])


def draw(state: np.ndarray) -> np.ndarray:
    """Returns a picture of the links and of the height to reach, uint8 [200, 200, 3]."""
    image = Image.new("RGB", (SIZE, SIZE), "white")
    canvas = ImageDraw.Draw(image)
    scale, middle = SIZE / 4.4, SIZE / 2
    first, both = float(state[0]), float(state[0] + state[1])
    joint = middle + scale * math.sin(first), middle + scale * math.cos(first)
    end = joint[0] + scale * math.sin(both), joint[1] + scale * math.cos(both)
    canvas.line([(0, middle - scale), (SIZE, middle - scale)], "black")
    canvas.line([(middle, middle), joint, end], (0, 160, 160), width=8)
    return np.asarray(image)


def _derivative(state: jax.Array, torque: jax.Array) -> jax.Array:
    """Returns the time derivative of the state, float32 [4]."""
    first, second, first_speed, second_speed = state
    cos, sin = jnp.cos(second), jnp.sin(second)
    coupling = MASS * LENGTH * CENTRE
    d1 = MASS * CENTRE**2 + MASS * (LENGTH**2 + CENTRE**2) + 2 * coupling * cos + 2 * INERTIA
    d2 = MASS * CENTRE**2 + coupling * cos + INERTIA
    phi2 = MASS * CENTRE * GRAVITY * jnp.cos(first + second - math.pi / 2)
    phi1 = (
        -coupling * second_speed**2 * sin
        - 2 * coupling * second_speed * first_speed * sin
        + (MASS * CENTRE + MASS * LENGTH) * GRAVITY * jnp.cos(first - math.pi / 2)
        + phi2
    )
    second_acceleration = (torque + d2 / d1 * phi1 - coupling * first_speed**2 * sin - phi2) / (
        MASS * CENTRE**2 + INERTIA - d2**2 / d1
    )
    first_acceleration = -(d2 * second_acceleration + phi1) / d1
    return jnp.stack([first_speed, second_speed, first_acceleration, second_acceleration])


ACROBOT = Environment(3, LIMIT, reset, step, observe, draw)
