"""A whole recipe in small: a GAN on a 2-D Gaussian whose discriminator predicts a host score.

Run as a program it is `train.py` for this recipe, which the tests kill, stop and start again.
"""

import argparse
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from ml_collections import ConfigDict
from tensorboardX import summary

from jaxgan.core import devices, loop, state
from jaxgan.core.errors import NonFiniteError, UserError
from jaxgan.core.recipe import Evaluation

BATCH = 16
TARGET = np.array([1.0, -0.5], np.float32)


def get_config() -> ConfigDict:
    return ConfigDict(
        {
            "seed": 7,
            "rounds": 4,
            "learning_rate": 0.05,
            "hidden": 8,
            "validation": {"every": 2},
            "checkpoint": {"every": 1},
            "scoring": {"workers": 0},
            "init_from": "",
            "debug_nans": False,
            "nan_in_round": 0,
        }
    )


class Net(nn.Module):
    hidden: int
    out: int

    @nn.compact
    def __call__(self, x):
        x = nn.leaky_relu(nn.Dense(self.hidden)(x), 0.3)
        return nn.Dense(self.out)(x)


def host_score(points: np.ndarray) -> np.ndarray:
    """A black box for the networks: 1 at the target, 0 far away. float32 [B, 2] -> [B]."""
    return np.exp(-np.sum((points - TARGET) ** 2, axis=-1)).astype(np.float32)


class Toy:
    def __init__(self, config, mesh, seconds=0.0):
        self.config, self.mesh, self.seconds = config, mesh, seconds
        self.generator, self.discriminator = Net(config.hidden, 2), Net(config.hidden, 1)
        self.optimizer = optax.adam(config.learning_rate)
        replicated, sharded = devices.replicated(mesh), devices.sharded(mesh)
        self._init = jax.jit(self._fresh, out_shardings=replicated)
        self._sample = jax.jit(self._samples, out_shardings=replicated)
        self._step = jax.jit(
            self._steps,
            in_shardings=(replicated, sharded, sharded, sharded),
            out_shardings=replicated,
            donate_argnums=0,
        )

    def _fresh(self, key):
        players = {}
        for number, (name, net, size) in enumerate(
            [("generator", self.generator, 3), ("discriminator", self.discriminator, 2)]
        ):
            variables = net.init(jax.random.fold_in(key, number), jnp.zeros((1, size)))
            players[name] = state.make_player(variables, self.optimizer)
        return state.begin(key, players, memory={"rounds": jnp.zeros((), jnp.float32)})

    def _noise(self, run_state, number):
        return jax.random.normal(jax.random.fold_in(run_state.key, number), (BATCH, 3))

    def _samples(self, run_state, number):
        params = {"params": run_state.players["generator"].params}
        return self.generator.apply(params, self._noise(run_state, number))

    def _steps(self, run_state, points, scores, noise):
        def d_loss(params, player_state):
            value = self.discriminator.apply({"params": params}, points)[:, 0]
            loss = jnp.mean((value - scores) ** 2)
            return loss, (player_state, {"d_loss": loss})

        run_state, d_metrics = state.descend(run_state, "discriminator", d_loss, self.optimizer)
        discriminator = {"params": run_state.players["discriminator"].params}

        def g_loss(params, player_state):
            fake = self.generator.apply({"params": params}, noise)
            loss = jnp.mean((self.discriminator.apply(discriminator, fake)[:, 0] - 1.0) ** 2)
            return loss, (player_state, {"g_loss": loss})

        run_state, g_metrics = state.descend(run_state, "generator", g_loss, self.optimizer)
        memory = {"rounds": run_state.memory["rounds"] + 1.0}
        return run_state.replace(memory=memory), {**d_metrics, **g_metrics}

    def init(self, key):
        return self._init(key)

    def round(self, run_state, history, number, timer):
        time.sleep(self.seconds)
        with timer.part("sample"):
            counted = devices.put_replicated(np.int32(number), self.mesh)
            points = jax.device_get(self._sample(run_state, counted))
        with timer.part("score"):
            scores = host_score(points)
            record = {"points": points, "scores": scores}
        # The replay of one past round, chosen by the round's number alone.
        replayed = [(points, scores)]
        if history:
            past = history[(self.config.seed * number) % len(history)]
            replayed.append((past["points"], past["scores"]))
        rng = np.random.default_rng((self.config.seed, number))
        metrics = {}
        for some_points, some_scores in replayed:
            noise = rng.standard_normal((BATCH, 3)).astype(np.float32)
            if number == self.config.nan_in_round:
                noise = noise * np.float32(np.nan)
            batch = devices.put_sharded((some_points, some_scores, noise), self.mesh)
            run_state, metrics = self._step(run_state, *batch)
        amounts = {
            "throughput/points": float(BATCH * len(replayed)),
            "replay/records": len(history),
        }
        return run_state, record, {**metrics, **amounts}

    def objective(self, run_state, number):
        seed = devices.put_replicated(np.int32(0), self.mesh)
        points = jax.device_get(self._sample(run_state, seed))
        return float(np.mean(host_score(points)))

    def evaluate(self, run_state, number):
        mean = self.objective(run_state, number)
        image = np.zeros((4, 4, 3), np.uint8)
        media = {"image": lambda tag: summary.image(tag, image, dataformats="HWC")}
        evaluation = Evaluation({"score": mean}, mean, media)
        return lambda: evaluation

    def close(self):
        pass


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("workdir")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--process_id", type=int)
    parser.add_argument("--coordinator")
    flags = parser.parse_args()
    config = get_config()
    config.rounds, config.checkpoint.every = flags.rounds, flags.every
    devices.start(flags.coordinator, 2 if flags.coordinator else None, flags.process_id)
    try:
        loop.run(Toy(config, devices.make_mesh(), flags.seconds), config, flags.workdir)
    except (UserError, NonFiniteError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
