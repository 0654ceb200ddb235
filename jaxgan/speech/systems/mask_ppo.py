"""PPO on masks: fine-tunes a trained enhancer on a reward, such as a rating of its speech.

Kumar, Perrault and Williamson, "Using RLHF to Align Speech Enhancement Approaches to Mean-Opinion
Quality Scores" (2024), and LR-AVSE (Chen et al. 2026). One round:

    1. draw N utterances
    2. the policy enhances each with K masks, drawn from normal distributions around G's mask; the
       frozen base, which is G before the first round, enhances it, too
    3. the reward judges all of these; a mask's advantage is its reward minus that of the base
    4. E times, for every batch: G moves up PPO's clipped objective, and down the divergence from
       the base and the distance from clean speech, which is called the anchor

The host judges one batch while the devices enhance the next one. With one batch a round and E = 1,
the ratio of the probabilities is 1 and the update is REINFORCE with a baseline.

The papers draw every cell of a mask on its own. With `config.noise_block` one draw moves a whole
block of cells, and the policy's action is the means of the blocks: a reward that judges the whole
utterance hardly notices what happens to single cells (docs/speech.md has a measurement).

Neither paper says how the log ratio is added up over a mask, which has 10^5 cells.
`config.reduction` is "mean", "frame" (each row of blocks is clipped on its own) or "sum"; with
"sum" and blocks of one cell nearly every ratio is clipped after the first update
(`jaxgan.methods.policy`).

The network is a mask network, or with `config.network="audiovisual"` that of configs/avse.py, which
sees the target talker's video; its masks are those of its learned encoder's code.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core import devices
from jaxgan.core.compiling import Program, init_on_host
from jaxgan.core.errors import UserError
from jaxgan.core.metrics import Total, average_of, of_round
from jaxgan.core.recipe import Evaluation
from jaxgan.core.state import (
    History,
    LossResult,
    Metrics,
    Players,
    PyTree,
    Record,
    RunState,
    StepResult,
    descend,
    make_player,
    make_run_state,
)
from jaxgan.core.steps import Steps, by_step
from jaxgan.core.timer import Timer
from jaxgan.methods.policy import (
    Reduce,
    block_means,
    clipped_objective,
    draw_gaussian,
    gaussian_kl,
    gaussian_log_ratio,
    repeat_blocks,
)
from jaxgan.methods.reinforce import leave_one_out
from jaxgan.nn.masked import masked_mean
from jaxgan.scores.registry import get
from jaxgan.scores.training_scores import DeviceScore, sharded_device_score
from jaxgan.speech.commands import declare
from jaxgan.speech.data.batching import Batch
from jaxgan.speech.evaluation.videos import VideoValidation, check_videos, place_videos
from jaxgan.speech.networks import audiovisual, masking
from jaxgan.speech.networks.audiovisual import make_audiovisual, use_mask
from jaxgan.speech.networks.denoiser import Denoiser
from jaxgan.speech.networks.mask_policy import MaskPolicy, of_spectrum, of_video
from jaxgan.speech.networks.masking import as_float, as_int16, make_masking
from jaxgan.speech.networks.optimizers import adam
from jaxgan.speech.networks.stft import FrontEnd, magnitude, stft, valid_frames
from jaxgan.speech.settings import MASK_CHOICES, MASK_RANGES, VIDEO_RANGES, check
from jaxgan.speech.training import Training, check_reward, open_training, require_scores

NETWORKS = ("mask", "audiovisual")
BASELINES = ("base", "others")
REDUCTIONS = ("mean", "frame", "sum")
ANCHORS = ("si_sdr", "spectrum")


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed during a run.

    Attributes:
        policy: the generator and what its mask multiplies.
        front_end: the front end of the anchor "spectrum".
        samples: K, masks drawn for each utterance.
        deviation: sigma, the standard deviation of every block of a mask.
        block: the frames and the bins of a block; 0 for all of them.
        clip: epsilon of PPO.
        baseline: what a reward is compared with: "base", the reward of the base, or "others", the
            mean reward of the utterance's other masks.
        reduction: how the log ratio and the divergence are reduced over the blocks of a mask, one
            of `REDUCTIONS`.
        sign: 1, or -1 for a reward of which lower is better.
        shuffled: whether every utterance gets the rewards of another one of its batch: a control.
        policy_weight: the weight of the clipped objective; 0 leaves only the anchor, another
            control.
        divergence_weight: beta, the weight of the divergence from the base.
        anchor: the distance from clean speech: "si_sdr", minus the SI-SDR in dB, or "spectrum".
        si_sdr: computes the SI-SDR of a batch.
        anchor_weight: the weight of the anchor.
        magnitude_share: alpha, the share of the magnitudes in the anchor "spectrum"; the complex
            spectra have the rest.
        optimizer: the optimizer of G.
        average_decay: the decay of the running average of G's parameters; 0: none is kept.
    """

    policy: MaskPolicy
    front_end: FrontEnd
    samples: int
    deviation: float
    block: tuple[int, int]
    clip: float
    baseline: str
    reduction: str
    sign: float
    shuffled: bool
    policy_weight: float
    divergence_weight: float
    anchor: str
    si_sdr: DeviceScore
    anchor_weight: float
    magnitude_share: float
    optimizer: optax.GradientTransformation
    average_decay: float


class Actions(NamedTuple):
    """What the policy drew for a batch of utterances.

    Attributes:
        key: PRNG key [], from which `draw_gaussian` draws it again.
        means: the means of the blocks of G's masks when it acted, float32 [B, rows, columns].
        base_means: the means of the blocks of the base's masks, float32 [B, rows, columns].
    """

    key: jax.Array
    means: jax.Array
    base_means: jax.Array


class Enhanced(NamedTuple):
    """The speech that the reward judges: for each utterance in turn, that of the K drawn masks and
    then that of the base's mask.

    Attributes:
        clean: int16 [B (K + 1), T].
        enhanced: int16 [B (K + 1), T].
        lengths: int32 [B (K + 1)], samples; 0 marks a padding row.
    """

    clean: jax.Array
    enhanced: jax.Array
    lengths: jax.Array


class Experience(NamedTuple):
    """What G learns from one batch.

    Attributes:
        batch: the utterances.
        actions: the masks.
        rewards: float32 [B (K + 1), 1], in the order of `Enhanced`; NaN where there is none.
    """

    batch: Batch
    actions: Actions
    rewards: jax.Array


def init(key: jax.Array, *, system: System) -> RunState:
    """Returns the state before the first update; `freeze` then makes the base."""
    generator_key, run_key = jax.random.split(key)
    variables = system.policy.init(generator_key)
    player = make_player(variables, system.optimizer, averaged=system.average_decay > 0)
    return make_run_state(run_key, {"generator": player, "base": player.without_training()})


def freeze(run_state: RunState) -> RunState:
    """Returns the state with G, as it is now, as its base."""
    base = run_state.players["generator"].without_training()
    return dataclasses.replace(run_state, players={**run_state.players, "base": base})


def blocks_of(system: System, cells: jax.Array, lengths: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the means of a mask's cells over blocks, and which blocks exist.

    Args:
        system: gives the blocks.
        cells: float32 [B, frames, bins].
        lengths: int [B], in samples.

    Returns:
        float32 and bool, [B, rows, columns] each.
    """
    valid = system.policy.valid(lengths, cells.shape[1])
    return block_means(cells, valid[..., None], system.block)


def act(
    run_state: RunState, batch: Batch, place: jax.Array, *shared: PyTree, system: System
) -> tuple[Actions, Enhanced]:
    """Lets the policy and the base enhance a batch.

    Args:
        run_state: the state.
        batch: the utterances.
        place: int32 [], of the batch in its round, so that each draws its own masks.
        shared: further inputs of the policy.
        system: what is fixed.
    """
    players, samples = run_state.players, system.samples
    key = jax.random.fold_in(jax.random.fold_in(run_state.key, run_state.step), place)

    def draw(mask: jax.Array) -> jax.Array:
        means, _ = blocks_of(system, mask, batch.lengths)
        change = draw_gaussian(means, system.deviation, key, samples) - means[:, None]
        return mask[:, None] + repeat_blocks(change, system.block, mask.shape[1:])

    # The policy clips masks that it applies, not those that are drawn: their likelihood is exact.
    enhance = system.policy.enhance
    mask, own = enhance(players["generator"].params, batch, draw, *shared)
    base_mask, of_base = enhance(players["base"].params, batch, use_mask, *shared)
    enhanced = as_int16(jnp.concatenate([own, of_base], axis=1)).reshape(-1, own.shape[-1])
    clean, lengths = (
        jnp.repeat(rows, samples + 1, axis=0) for rows in (batch.clean, batch.lengths)
    )
    means, base_means = (blocks_of(system, m, batch.lengths)[0] for m in (mask, base_mask))
    return Actions(key, means, base_means), Enhanced(clean, enhanced, lengths)


def advantages(system: System, rewards: jax.Array) -> jax.Array:
    """Returns by how much each mask's reward exceeds its baseline, float32 [B, K]; 0 without one.

    Args:
        system: gives the baseline.
        rewards: float32 [B, K + 1], higher is better, the base's last; NaN where there is none.
    """
    own, base = rewards[:, :-1], rewards[:, -1:]
    if system.baseline == "others":
        return leave_one_out(own, jnp.isfinite(own), axis=1)
    gain = own - base
    return jnp.where(jnp.isfinite(gain), gain, 0)


def reduce_blocks(system: System, valid: jax.Array) -> Reduce:
    """Returns the reduction of terms [..., rows, columns] over a mask's blocks.

    Args:
        system: gives the reduction; with "frame" the rows remain, [..., rows].
        valid: bool, broadcastable to the terms; false for padding.
    """
    if system.reduction == "sum":
        return lambda terms: jnp.sum(jnp.where(valid, terms, 0), axis=(-2, -1))
    if system.reduction == "frame":
        return lambda terms: jnp.mean(jnp.where(valid, terms, 0), axis=-1)
    return lambda terms: masked_mean(terms, jnp.broadcast_to(valid, terms.shape), axis=(-2, -1))


def anchor(system: System, enhanced: jax.Array, batch: Batch) -> jax.Array:
    """Returns the mean distance [] of enhanced speech from the clean speech; see `System`.

    Args:
        system: what is fixed.
        enhanced: float32 [B, T].
        batch: gives the clean speech.
    """
    clean = as_float(batch.clean)
    if system.anchor == "si_sdr":
        ratio = system.si_sdr(clean, enhanced, batch.lengths)
        return masked_mean(-jnp.nan_to_num(ratio), jnp.isfinite(ratio))
    spectrum, target = (stft(wave, system.front_end) for wave in (enhanced, clean))
    distance = system.magnitude_share * jnp.square(magnitude(spectrum) - magnitude(target))
    distance += (1 - system.magnitude_share) * jnp.square(magnitude(spectrum - target))
    valid = valid_frames(batch.lengths, distance.shape[1], system.front_end)
    return masked_mean(distance, valid[..., None])


def step(
    run_state: RunState, experience: Experience, *shared: PyTree, system: System
) -> StepResult:
    """Moves G once, on the experience from one batch.

    Returns:
        The state, and metrics from before the update: `g_loss` []; `objective` [], the clipped
        objective; `divergence` [] from the base in nats (per block unless the reduction is "sum");
        `clipped` [], the share of the ratios that are clipped; `anchor` [], unless its weight is 0;
        and those of `reward_metrics`.
    """
    batch, actions, _ = experience
    filled = batch.lengths > 0
    rewards = system.sign * experience.rewards[:, 0].reshape(-1, system.samples + 1)
    learned = rewards
    if system.shuffled:
        learned = jax.random.permutation(jax.random.fold_in(actions.key, 1), rewards, axis=0)
    # A padding row has no blocks, but a control may give it another row's reward.
    gains = jnp.where(filled[:, None], advantages(system, learned), 0)
    scored = jnp.isfinite(learned[:, :-1]) & filled[:, None]
    drawn = draw_gaussian(actions.means, system.deviation, actions.key, system.samples)

    def loss(players: Players) -> LossResult:
        params = players["generator"].params
        mask, enhanced = system.policy.enhance(params, batch, use_mask, *shared)
        means, exists = blocks_of(system, mask, batch.lengths)
        log_ratio = gaussian_log_ratio(
            drawn,
            means[:, None],
            actions.means[:, None],
            system.deviation,
            reduce_blocks(system, exists[:, None]),
        )
        divergence = gaussian_kl(
            means, actions.base_means, system.deviation, reduce_blocks(system, exists)
        )
        terms, counted, compared = gains, scored, filled
        if system.reduction == "frame":  # every row of blocks is an action
            compared = exists[..., 0]
            terms, counted = gains[..., None], scored[..., None] & compared[:, None]
        objective = masked_mean(clipped_objective(log_ratio, terms, system.clip), counted)
        outside = jnp.abs(jnp.exp(log_ratio) - 1) > system.clip
        divergence = masked_mean(divergence, compared)
        value = system.divergence_weight * divergence - system.policy_weight * objective
        metrics = {
            "objective": objective,
            "divergence": divergence,
            "clipped": masked_mean(outside, counted),
            **reward_metrics(rewards, filled),
        }
        if system.anchor_weight:  # an anchor without weight would cost a third of the update
            metrics["anchor"] = anchor(system, enhanced[:, 0], batch)
            value += system.anchor_weight * metrics["anchor"]
        return value, ({}, {"g_loss": value, **metrics})

    return descend(run_state, {"generator": system.optimizer}, loss, system.average_decay)


def reward_metrics(rewards: jax.Array, filled: jax.Array) -> Metrics:
    """Returns the metrics of the rewards of a batch.

    Args:
        rewards: float32 [B, K + 1], higher is better, the base's last; NaN where there is none.
        filled: bool [B], false for a padding row.

    Returns:
        Averages over utterances of `reward`, the mean reward of the drawn masks, and of
        `reward_gain`, by how much it exceeds that of the base; and `unscorable`, the number of
        enhanced utterances without a reward.
    """
    own, base = rewards[:, :-1], rewards[:, -1]
    mean = masked_mean(own, jnp.isfinite(own), axis=1)
    has_reward = jnp.any(jnp.isfinite(own), axis=1) & filled
    return {
        "reward": average_of(mean, has_reward),
        "reward_gain": average_of(mean - base, has_reward & jnp.isfinite(base)),
        "unscorable": Total(jnp.sum(filled[:, None] & ~jnp.isfinite(rewards))),
    }


class MaskPPO:
    """The recipe; see `jaxgan.core.recipe.Recipe`.

    Args:
        config: see configs/mask_ppo.py.
        training: data, scores and devices.
        system: what is fixed.
        shared: inputs of the policy that all batches share.
        evaluate: starts a validation.
    """

    history_window: int | None = 0
    phase_starts: tuple[int, ...] = ()
    optional_players = ("base",)
    fresh_players: tuple[str, ...] = ()

    def __init__(
        self,
        config: ConfigDict,
        training: Training,
        system: System,
        shared: Sequence[PyTree],
        evaluate: Callable[[RunState, int], Callable[[], Evaluation]],
    ) -> None:
        self.epochs = config.epochs
        self.training = training
        self.files, self.reports = training.files, training.reports
        self.shared = shared
        self.evaluate, self.close = evaluate, training.close
        self.check = require_scores(config.score, "reward")
        mesh = training.mesh
        self.init = init_on_host(functools.partial(init, system=system), mesh)
        self.freeze = jax.jit(freeze, out_shardings=devices.replicated(mesh))
        rows: Any = devices.sharded(mesh)
        whole: Any = devices.replicated(mesh)
        self.act = Program(
            functools.partial(act, system=system),
            mesh,
            out_shardings=(Actions(whole, rows, rows), rows),
        )
        self.steps = Steps(functools.partial(step, system=system), mesh, ("generator",))

    def round(
        self, state: RunState, history: History, number: int, timer: Timer
    ) -> tuple[RunState, Record, Mapping[str, float | jax.Array]]:
        """Trains one round of the algorithm at the top of this file."""
        del history
        if number == 1:
            state = self.freeze(state)
        with timer.part("data"):
            batches, rows = self.training.draw(number)
        with timer.part("act"):
            acted = [self.begin(state, batch, place) for place, batch in enumerate(batches)]
        with timer.part("score"):
            experience = [
                Experience(batch, actions, rewards())
                for batch, (actions, rewards) in zip(batches, acted, strict=True)
            ]
        with timer.part("steps"):
            reports = []
            for _ in range(self.epochs):
                state, made = self.steps(state, experience, *self.shared)
                reports += made
            found = of_round(by_step(self.training.fetch(reports)))
        self.check(found)
        return state, {}, {**found, "throughput/audio_seconds": self.training.seconds(rows)}

    def begin(
        self, state: RunState, batch: Batch, place: int
    ) -> tuple[Actions, Callable[[], jax.Array]]:
        """Starts to enhance and to judge a batch.

        Returns:
            The actions, and a function that waits for their rewards; see `Experience`.
        """
        number = devices.put_replicated(np.int32(place), self.training.mesh)
        actions, enhanced = self.act(state, batch, number, *self.shared)
        return actions, self.training.scores.submit(*enhanced)


def make_system(config: ConfigDict, si_sdr: DeviceScore) -> System:
    """Returns what is fixed during a run of this config."""
    sees = config.network == "audiovisual"
    return System(
        policy=of_video(make_audiovisual(config)) if sees else of_spectrum(make_masking(config)),
        front_end=FrontEnd(**config.front_end),
        samples=config.samples,
        deviation=config.deviation,
        block=(config.noise_block.frames, config.noise_block.bins),
        clip=config.clip,
        baseline=config.baseline,
        reduction=config.reduction,
        sign=1.0 if get(config.score).higher_is_better else -1.0,
        shuffled=config.shuffle_rewards,
        policy_weight=config.policy_weight,
        divergence_weight=config.divergence_weight,
        anchor=config.anchor,
        si_sdr=si_sdr,
        anchor_weight=config.anchor_weight,
        magnitude_share=config.magnitude_share,
        optimizer=adam(config, config.generator_learning_rate),
        average_decay=config.average_decay,
    )


def make(config: ConfigDict, mesh: Mesh) -> MaskPPO:
    """Returns the recipe of a config, with its data read and its worker processes started.

    Raises:
        UserError: a setting, the score or the data cannot be used; the message says which.
    """
    choices = {
        "network": NETWORKS,
        "baseline": BASELINES,
        "reduction": REDUCTIONS,
        "anchor": ANCHORS,
        # The rewards are always computed while the devices do other work.
        "scoring.delay": (0,),
    }
    weights = ("policy_weight", "divergence_weight", "anchor_weight")
    ranges = {
        **dict.fromkeys(weights, (0, math.inf)),
        "samples": (1, math.inf),
        "deviation": (1e-6, 1),
        "noise_block.frames": (0, math.inf),
        "noise_block.bins": (0, math.inf),
        "clip": (0, 1),
        "epochs": (1, math.inf),
        "magnitude_share": (0, 1),
    }
    check(config, {**MASK_CHOICES, **choices}, {**MASK_RANGES, **VIDEO_RANGES, **ranges})
    if config.baseline == "others" and config.samples < 2:
        raise UserError("config.baseline=others: needs config.samples of 2 or more")
    check_reward(config)
    system = make_system(config, sharded_device_score("si_sdr", mesh))
    with open_training(config, make_denoiser(config), mesh) as training:
        if config.network == "mask":
            return MaskPPO(config, training, system, (), training.evaluate)
        check_videos(config, training)
        shared = (place_videos(training.corpus, mesh),)
        return MaskPPO(
            config,
            training,
            system,
            shared,
            VideoValidation(training, make_audiovisual(config), system.si_sdr),
        )


def make_denoiser(config: ConfigDict) -> Denoiser:
    """Returns the enhancer of a config's network."""
    network = masking if config.network == "mask" else audiovisual
    return network.make_denoiser(config)


DECLARATION = declare(make, make_denoiser)
