"""A whole recipe in small: a GAN on a 2-D Gaussian whose discriminator predicts a host score.

Run as a program it trains this recipe; the tests kill it, stop it and start it again.
"""

import argparse
import copy
import dataclasses
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from ml_collections import ConfigDict
from tensorboardX import summary

from jaxgan.core import command, devices, loop, state
from jaxgan.core.recipe import Evaluation
from jaxgan.core.settings import run_settings
from jaxgan.core.steps import Steps, by_step

BATCH = 16
TARGET = np.array([1.0, -0.5], np.float32)
MAY_CHANGE = ("scoring.workers",)


def get_config(**changes) -> ConfigDict:
    """Returns the config of the toy, with other values for the keys of `changes`."""
    config = run_settings("toy", rounds=4, batch_size=BATCH)
    config.seed = 7
    config.learning_rate = 0.05
    config.hidden = 8
    config.nan_in_round = 0
    config.scoring = ConfigDict({"workers": 0})
    config.validation.every = 2
    config.checkpoint.every = 1
    config.update(changes)
    return config


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
    """The recipe. Every round trains on its own points and on those of one earlier round."""

    optional_players = ()
    fresh_players = ()
    history_window = None
    phase_starts = ()

    def __init__(self, config, mesh, hook=lambda number: None):
        self.config, self.mesh, self.hook = config, mesh, hook
        self.files = self.reports = {}
        self.nets = {"generator": Net(config.hidden, 2), "discriminator": Net(config.hidden, 1)}
        self.optimizer = optax.adam(config.learning_rate)
        replicated = devices.replicated(mesh)
        self.init = jax.jit(self._init, out_shardings=replicated)
        self._sample = jax.jit(self._points, out_shardings=replicated)
        self._steps = Steps(self._step, mesh, moves=self.nets, batches=2)

    def _init(self, key):
        players = {}
        for number, (name, size) in enumerate({"generator": 3, "discriminator": 2}.items()):
            net_key = jax.random.fold_in(key, number)
            variables = self.nets[name].init(net_key, jnp.zeros((1, size)))
            players[name] = state.make_player(variables, self.optimizer)
        return state.make_run_state(key, players, memory={"batches": jnp.zeros(())})

    def _points(self, run_state, number):
        noise = jax.random.normal(jax.random.fold_in(run_state.key, number), (BATCH, 3))
        return self.nets["generator"].apply(run_state.players["generator"].variables, noise)

    def _step(self, run_state, batch):
        points, scores, noise = batch
        apply = {name: net.apply for name, net in self.nets.items()}

        def predict(players, points):
            return apply["discriminator"](players["discriminator"].variables, points)[:, 0]

        def d_loss(players):
            loss = jnp.mean((predict(players, points) - scores) ** 2)
            return loss, ({}, {"d_loss": loss})

        def g_loss(players):
            fake = apply["generator"](players["generator"].variables, noise)
            loss = jnp.mean((predict(players, fake) - 1.0) ** 2)
            return loss, ({}, {"g_loss": loss})

        run_state, d_metrics = state.descend(run_state, {"discriminator": self.optimizer}, d_loss)
        run_state, g_metrics = state.descend(run_state, {"generator": self.optimizer}, g_loss)
        memory = {"batches": run_state.memory["batches"] + 1.0}
        return dataclasses.replace(run_state, memory=memory), d_metrics | g_metrics

    def round(self, run_state, history, number, timer):
        self.hook(number)
        with timer.part("sample"):
            on_device = devices.put_replicated(np.int32(number), self.mesh)
            points = jax.device_get(self._sample(run_state, on_device))
        with timer.part("score"):
            record = {"points": points, "scores": host_score(points)}
        past = [other for other in history if other]
        trained = [record, *past[number % len(past) :][:1]] if past else [record]
        random = np.random.default_rng((self.config.seed, number))
        noise = random.standard_normal((len(trained), BATCH, 3)).astype(np.float32)
        if number == self.config.nan_in_round:
            noise[:] = np.nan
        batches = [
            devices.put_sharded((one["points"], one["scores"], own), self.mesh)
            for one, own in zip(trained, noise, strict=True)
        ]
        run_state, reports = self._steps(run_state, batches)
        metrics = by_step(jax.device_get(reports))[-1]
        metrics["throughput/points"] = float(BATCH * len(trained))
        metrics["replay/records"] = len(past)
        return run_state, record, metrics

    def evaluate(self, run_state, number):
        seed = devices.put_replicated(np.int32(0), self.mesh)
        mean = float(np.mean(host_score(jax.device_get(self._sample(run_state, seed)))))
        image = np.zeros((4, 4, 3), np.uint8)
        media = {"image": lambda tag: summary.image(tag, image, dataformats="HWC")}
        return lambda: Evaluation({"score": mean}, mean, media)

    def close(self):
        pass


def changed(recipe, **attributes):
    """Returns a copy of the recipe that shares its compiled programs but has other attributes."""
    other = copy.copy(recipe)
    vars(other).update(attributes)
    return other


def track(row):
    """A tracker that says which process called it."""
    print(f"process {jax.process_index()} tracks round {row['round']}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("workdir")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=0.0, help="pause in every round")
    parser.add_argument("--every", type=int, default=1, help="rounds between checkpoints")
    parser.add_argument("--process_id", type=int)
    parser.add_argument("--coordinator")
    flags = parser.parse_args()
    every = {"every": flags.every}
    config = get_config(rounds=flags.rounds, checkpoint=every, tracker="toy:track")
    devices.start(flags.coordinator, 2 if flags.coordinator else None, flags.process_id)
    recipe = Toy(config, devices.make_mesh(), hook=lambda number: time.sleep(flags.seconds))
    return command.run(lambda: loop.run(recipe, config, flags.workdir))


if __name__ == "__main__":
    sys.exit(main())
