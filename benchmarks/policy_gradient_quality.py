"""Compares the policy gradient of mask_ppo with the exact gradient of its reward.

    python benchmarks/policy_gradient_quality.py --config.init_from=START [--batches=6]
        [--config=configs/mask_ppo.py:quick] [--config.key=value ...]

The reward must have a JAX function that passes gradients, such as PESQ. For every variant of the
noise and of K, and for every batch, the estimate is the first update of mask_ppo without anchor and
divergence. Prints the mean cosine between it and the exact gradient of the mean reward with respect
to the parameters of G, both of the same batch and of all other batches: what raises the reward of
other utterances, too. The first row is the exact gradient of one batch.
"""

import argparse
import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from jaxgan.core import config as configs
from jaxgan.core import devices
from jaxgan.core.players import load_players
from jaxgan.core.state import PyTree, RunState
from jaxgan.nn.masked import masked_mean
from jaxgan.scores.training_scores import DeviceScore, find_device_score
from jaxgan.speech.data.batching import Batch, Loader
from jaxgan.speech.data.corpora import open_corpora
from jaxgan.speech.networks.audiovisual import use_mask
from jaxgan.speech.networks.masking import as_float
from jaxgan.speech.systems import mask_ppo

VARIANTS = (
    (1, 1, 0.05, 1),
    (1, 1, 0.05, 8),
    (8, 8, 0.05, 8),
    (32, 16, 0.05, 8),
    (0, 4, 0.05, 8),
    (0, 16, 0.05, 1),
    (0, 16, 0.05, 8),
    (0, 16, 0.15, 8),
    (0, 0, 0.05, 8),
)
"""Frames and bins of a block, 0 for all; sigma; K. With K = 1 the baseline is the base's reward."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config", default="configs/mask_ppo.py:quick", metavar="FILE[:PRESET]")
    parser.add_argument("--batches", type=int, default=6, help="to average over (default 6)")
    options, overrides = parser.parse_known_args(arguments)
    devices.start()
    config = configs.load(options.config, overrides)
    score = find_device_score(config.score)
    assert score is not None
    batches = load(config, options.batches)
    system = mask_ppo.make_system(config, score)
    system = dataclasses.replace(
        system, reduction="sum", divergence_weight=0.0, anchor_weight=0.0, optimizer=optax.sgd(1.0)
    )
    state = mask_ppo.init(jax.random.key(config.seed), system=system)
    params = jax.tree.map(jnp.asarray, load_players(config.init_from)["generator"].params)
    started = dataclasses.replace(state.players["generator"], params=params, average={})
    state = mask_ppo.freeze(
        dataclasses.replace(state, players={**state.players, "generator": started})
    )
    gradient = jax.jit(jax.grad(functools.partial(mean_reward, score=score, system=system)))
    exact = [flat(gradient(params, batch)) for batch in batches]
    others = [sum(exact) - own for own in exact]
    print(f"{'frames':>7}{'bins':>6}{'sigma':>7}{'K':>4}{'reward sd':>11}{'own':>8}{'others':>8}")
    print(f"{'exact gradient':35}{1:8.2f}{mean_cosine(exact, others):8.2f}")
    for frames, bins, deviation, samples in VARIANTS:
        varied = dataclasses.replace(
            system,
            block=(frames, bins),
            deviation=deviation,
            samples=samples,
            baseline="others" if samples > 1 else "base",
        )
        found = [
            estimate(state, batch, place, score, varied) for place, batch in enumerate(batches)
        ]
        own, of_others = (mean_cosine([g for g, _ in found], each) for each in (exact, others))
        spread = np.mean([spread for _, spread in found])
        row = f"{frames or 'all':>7}{bins or 'all':>6}{deviation:7.2f}{samples:4}"
        row += f"{spread:11.4f}" if samples > 1 else f"{'':11}"
        print(f"{row}{own:8.2f}{of_others:8.2f}", flush=True)


def load(config: ConfigDict, count: int) -> list[Batch]:
    """Returns batches of the training data."""
    loader = Loader(
        open_corpora(config, lambda _: None).train,
        count=count * config.batch_size,
        batch_size=config.batch_size,
        seed=config.seed,
        mesh=devices.make_mesh(1),
        resident_megabytes=config.data.resident_megabytes,
    )
    batches = [batch for batch, _ in loader.round(1)]
    loader.close()
    return batches


def mean_reward(
    params: PyTree, batch: Batch, *, score: DeviceScore, system: mask_ppo.System
) -> jax.Array:
    """Returns the mean reward [] of the speech that is enhanced with G's own masks."""
    _, enhanced = system.policy.enhance(params, batch, use_mask)
    rewards = score(as_float(batch.clean), enhanced[:, 0], batch.lengths)
    return masked_mean(jnp.nan_to_num(rewards), jnp.isfinite(rewards))


def estimate(
    state: RunState, batch: Batch, place: int, score: DeviceScore, system: mask_ppo.System
) -> tuple[np.ndarray, float]:
    """Returns the policy gradient [n] of a batch, and the deviation of an utterance's rewards."""
    act = _compiled(mask_ppo.act, system)
    actions, enhanced = act(state, batch, jnp.int32(place))
    rewards = jax.jit(score)(enhanced.clean, enhanced.enhanced, enhanced.lengths)
    experience = mask_ppo.Experience(batch, actions, rewards[:, None])
    moved, _ = _compiled(mask_ppo.step, system)(state, experience)
    before, after = (flat(each.players["generator"].params) for each in (state, moved))
    drawn = np.asarray(rewards).reshape(len(batch.lengths), -1)[:, :-1]
    return after - before, float(np.nanmean(np.nanstd(drawn, axis=1)))


@functools.cache
def _compiled(function: Callable[..., Any], system: mask_ppo.System) -> Callable[..., Any]:
    return jax.jit(functools.partial(function, system=system))


def flat(tree: PyTree) -> np.ndarray:
    """Returns all numbers of a pytree, float64 [n]."""
    return np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(tree)])


def mean_cosine(ones: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> float:
    """Returns the mean cosine of pairs of vectors."""
    return float(
        np.mean([a @ b / np.sqrt((a @ a) * (b @ b)) for a, b in zip(ones, others, strict=True)])
    )


if __name__ == "__main__":
    main()
