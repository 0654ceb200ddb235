"""Trains and measures the agents of docs/control_results.md, and prints its tables.

    python benchmarks/control_table.py [--parts=returns,values,corridor,minatar] [--seeds=5]
        [--workdir=runs/control_table] [--config.key=value ...]
    python benchmarks/control_table.py --parts=double --seeds=20 --workdir=runs/double

- returns: CartPole-v1 and Acrobot-v1, DQN and PPO, 500,000 steps, beside CleanRL's numbers. The
  return of a seed is the mean over the episodes of the last tenth of training, with exploration.
- values: how much the variants of DQN over-estimate on CartPole-v1, where no discounted return is
  above 1 / (1 - gamma) = 100, with one environment and with ten.
- double: only the comparison of Double and Nature, with one environment.
- corridor: the policy evaluation of the dueling paper (Wang et al. 2016, section 4.1).
- minatar: Breakout, a million frames, three seeds, beside random actions; it needs gymnax.

train.py makes the runs, all seeds of a run in one program; the same command continues after an
interruption. All parts together take about an hour on two cores.
"""

import argparse
import functools
import itertools
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from trained_runs import Settings, train

from jaxgan.control.environments.environment import Environment, advance_several, begin_several
from jaxgan.control.environments.named import corridor, make_environment
from jaxgan.control.environments.tabular import Tables, corridor_tables, optimal_values
from jaxgan.control.networks.q_network import QNetwork
from jaxgan.core import log
from jaxgan.reporting.statistics import Interval, bootstrap, interquartile_mean, paired_test

PUBLISHED = {
    ("dqn.py:nature", "CartPole-v1"): "488.69 ± 16.11",
    ("dqn.py:nature", "Acrobot-v1"): "-91.54 ± 7.20",
    ("ppo.py", "CartPole-v1"): "490.04 ± 6.12",
    ("ppo.py", "Acrobot-v1"): "-86.36 ± 1.32",
}
"""The mean and standard deviation of three seeds of CleanRL (dqn.py and ppo.py, 500,000 steps), by
config and environment."""
VARIANTS = ("2013", "nature", "double", "dueling")
DISCOUNT = 0.99
BREAKOUT = "gymnax:Breakout-MinAtar"
MINATAR_SEEDS = 3
ACTIONS = (5, 10, 20)
"""How many actions the corridors have, as in the paper."""
EPSILON = 0.001
"""The share of random actions of the policy that is evaluated, as in the paper."""
WALKERS, UPDATES = 32, 20_000
"""How many walks the policy evaluation learns from at a time, and its number of updates. The paper
gives neither, nor does it name an optimizer."""
SHARES = (0.1, 10**-0.5, 1.0)
"""The shares of the updates after which the errors are measured."""
OPTIMIZERS = {"gradient descent": optax.sgd(0.1), "Adam": optax.adam(1e-3)}
CASES = [*((actions, "gradient descent") for actions in ACTIONS), (ACTIONS[-1], "Adam")]
"""Which (actions, optimizer) the table of the policy evaluation has."""
WIDTHS = {"single": (50, 50), "dueling": (50, 25)}
"""The paper's: two layers of 50, or one of 50 and then 25 for each stream."""


def seeds_of(workdir: Path, name: str, seeds: int, share: float = 0.1) -> np.ndarray:
    """Returns the mean of a metric over the last rounds of a run, for each seed, [seeds].

    Args:
        workdir: of the run.
        name: of the metric.
        seeds: how many the run has.
        share: of the rounds.
    """
    values = rows_of(workdir, name, seeds)
    return np.nanmean(values[-max(1, round(share * len(values))) :], axis=0)


def rows_of(workdir: Path, name: str, seeds: int) -> np.ndarray:
    """Returns a metric of all rounds of a run, [rounds, seeds]; NaN where a round lacks it."""
    return np.array(
        [
            [row.get(f"{name}/seed_{seed}", np.nan) for seed in range(seeds)]
            for row in log.read(workdir)
        ]
    )


def as_text(interval: Interval, digits: int = 1) -> str:
    """Returns a statistic with its interval."""
    return f"{interval.mean:.{digits}f} ({interval.low:.{digits}f} to {interval.high:.{digits}f})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def row_of_returns(name: str, found: np.ndarray, published: str) -> list[str]:
    """Returns what the tables of returns show of the seeds' returns [n]."""
    return [
        name,
        as_text(bootstrap(found)),
        as_text(bootstrap(found, interquartile_mean)),
        " ".join(f"{value:.1f}" for value in found),
        published,
    ]


RETURNS = ("mean and 95 % interval", "IQM and 95 % interval", "seeds")


def returns(run: Callable[..., Path], seeds: int) -> str:
    """Returns the table of returns."""
    rows = []
    for (preset, environment), published in PUBLISHED.items():
        workdir = run(preset, {"env": environment})
        found = seeds_of(workdir, "train/return", seeds)
        system = preset.partition(".")[0]
        rows.append(row_of_returns(f"{system}, {environment}", found, published))
    return table(["run", *RETURNS, "CleanRL"], rows)


def over_estimation(run: Callable[..., Path], seeds: int) -> str:
    """Returns the table of over-estimation on CartPole, and what compares Double with Nature."""
    rows = []
    for environments in (1, 10):
        for variant in VARIANTS:
            workdir = run(*settings_of(variant, environments))
            max_q = seeds_of(workdir, "eval/max_q", seeds)
            highest = np.nanmax(rows_of(workdir, "eval/max_q", seeds), axis=0)
            excess = seeds_of(workdir, "eval/overestimation", seeds)
            rows.append(
                [
                    f"{variant}, {environments}",
                    as_text(bootstrap(seeds_of(workdir, "train/return", seeds))),
                    " ".join(f"{value:.1f}" for value in max_q),
                    f"{max_q.max():.1f}",
                    " ".join(f"{value:.0f}" for value in highest),
                    " ".join(f"{value:.1f}" for value in excess),
                ]
            )
    head = ["variant, environments", "return", "max-Q, last tenth", "worst", "highest ever"]
    head.append("over-estimation, last tenth")
    return f"{table(head, rows)}\n{double_against_nature(run, seeds, (1, 10))}"


def settings_of(variant: str, environments: int) -> tuple[str, Settings]:
    """Returns the config of a variant of DQN on CartPole, and the settings that differ from it."""
    several = {"environments": environments} if environments > 1 else {}
    return f"dqn.py:{variant}", {"env": "CartPole-v1", **several}


def double_against_nature(
    run: Callable[..., Path], seeds: int, counts: Sequence[int] = (1,)
) -> str:
    """Returns lines that compare the over-estimation of Double with that of Nature on CartPole.

    Args:
        run: trains what is missing.
        seeds: how many.
        counts: of environments, a few lines each.
    """
    lines = []
    for environments in counts:
        nature, double = (
            run(*settings_of(variant, environments)) for variant in ("nature", "double")
        )
        for span, share in (("last tenth", 0.1), ("whole run", 1.0)):
            excess = [
                seeds_of(workdir, "eval/overestimation", seeds, share)
                for workdir in (nature, double)
            ]
            difference = paired_test(*excess).difference
            below = int(np.sum(excess[1] < excess[0]))
            lines.append(
                f"{environments} environment(s), {span}: Double's over-estimation minus Nature's "
                f"{as_text(difference)}; below on {below} of {seeds} seeds\n"
            )
    return "\n".join(lines)


def policy_values(tables: Tables, policy: np.ndarray, discount: float) -> np.ndarray:
    """Returns the action values of a policy, float64 [S, A]; those of terminal states are zero.

    Args:
        tables: of the process.
        policy: float64 [S, A], the probability of each action.
        discount: of rewards one step later.
    """
    states, actions = policy.shape
    expected = (tables.next_states * tables.rewards).sum(axis=-1)
    # The probability of each next pair of state and action; a terminal state has none.
    following = np.einsum("sat,tb->satb", tables.next_states, policy)
    following[:, :, tables.terminal] = 0.0
    following[tables.terminal] = 0.0
    expected[tables.terminal] = 0.0
    size = states * actions
    system = np.eye(size) - discount * following.reshape(size, size)
    return np.linalg.solve(system, expected.ravel()).reshape(states, actions)


def epsilon_greedy(tables: Tables) -> np.ndarray:
    """Returns the policy that the dueling paper evaluates, float64 [S, A].

    It takes a random action with probability `EPSILON`, and otherwise the best one.
    """
    values = optimal_values(tables, DISCOUNT)
    actions = values.shape[1]
    return EPSILON / actions + (1 - EPSILON) * np.eye(actions)[values.argmax(axis=1)]


def evaluation_update(
    carry: Any,
    key: jax.Array,
    *,
    walk: Environment,
    policy: jax.Array,
    network: QNetwork,
    descent: optax.GradientTransformation,
) -> tuple[Any, None]:
    """Makes a step in every walk, and one down the squared error of r + gamma * E of Q(s', a').

    Args:
        carry: the parameters, the state of the optimizer and the episodes.
        key: of the update.
        walk: the corridor.
        policy: float32 [S, A], the probability of each action.
        network: Q.
        descent: the optimizer.
    """
    params, opt_state, episodes = carry
    action_key, walk_key = jax.random.split(key)
    chances = jnp.log(policy[episodes.state])
    taken = jax.random.categorical(action_key, chances).astype(jnp.int32)
    episodes, outcome = advance_several(walk, episodes, taken, walk_key)
    made = outcome.transition
    following = made.following @ policy
    values: Any = network.apply(params, made.following)
    expected = jnp.sum(following * values, axis=1)
    goals = made.reward + DISCOUNT * jnp.where(made.terminated, 0.0, expected)

    def loss(params: Any) -> jax.Array:
        found: Any = network.apply(params, made.observation)
        learned = jnp.take_along_axis(found, taken[:, None], axis=1)[:, 0]
        return jnp.mean(jnp.square(goals - learned))

    moves, opt_state = descent.update(jax.grad(loss)(params), opt_state, params)
    return (optax.apply_updates(params, moves), opt_state, episodes), None


def evaluation_errors(
    actions: int, kind: str, optimizer: str, seeds: int, updates: int
) -> np.ndarray:
    """Returns the squared errors of networks that learned the values of a policy, [seeds, 3].

    The policy walks through the corridor, and the network learns from every step. Errors are sums
    over all states and actions, after each of the `SHARES` of the updates.

    Args:
        actions: of the corridor.
        kind: a key of `WIDTHS`.
        optimizer: a key of `OPTIMIZERS`.
        seeds: how many networks.
        updates: how many steps of learning.
    """
    tables, walk = corridor_tables(actions), corridor(actions)
    policy, descent = epsilon_greedy(tables), OPTIMIZERS[optimizer]
    network = QNetwork(actions, WIDTHS[kind], kind == "dueling")
    exact = policy_values(tables, policy, DISCOUNT)[~tables.terminal]
    observations = jnp.eye(len(tables.terminal))[~tables.terminal]
    update = functools.partial(
        evaluation_update,
        walk=walk,
        policy=jnp.asarray(policy, jnp.float32),
        network=network,
        descent=descent,
    )
    ends = [int(share * updates) for share in SHARES]

    @jax.jit
    @jax.vmap
    def learn(key: jax.Array) -> jax.Array:
        init_key, begin_key, run_key = jax.random.split(key, 3)
        params = network.init(init_key, observations)
        carry = params, descent.init(params), begin_several(walk, begin_key, WALKERS)
        errors = []
        for start, end in itertools.pairwise([0, *ends]):
            keys = jax.random.split(jax.random.fold_in(run_key, start), end - start)
            carry, _ = jax.lax.scan(update, carry, keys)
            values: Any = network.apply(carry[0], observations)
            errors.append(jnp.sum(jnp.square(values - exact)))
        return jnp.stack(errors)

    return np.asarray(learn(jax.random.split(jax.random.key(0), seeds)))


def evaluation_table(seeds: int) -> str:
    """Returns the table of the policy evaluation in the corridor."""
    rows = []
    for actions, optimizer in CASES:
        found = {
            kind: evaluation_errors(actions, kind, optimizer, seeds, UPDATES) for kind in WIDTHS
        }
        for kind, errors in found.items():
            cells = [as_text(bootstrap(column), 2) for column in errors.T]
            rows.append([f"{actions} actions, {optimizer}, {kind}", *cells])
        below = np.sum(found["dueling"] < found["single"], axis=0)
        rows.append(["dueling is below on", *(f"{count} of {seeds} seeds" for count in below)])
    head = ["squared error", *(f"{int(share * UPDATES)} updates" for share in SHARES)]
    return table(head, rows)


def random_returns(name: str, episodes: int = 64, steps: int = 1000) -> float:
    """Returns the mean return of the episodes that end when random actions are taken.

    Args:
        name: of the environment.
        episodes: that are played at the same time.
        steps: in each of them.
    """
    environment = make_environment(name)

    def step(playing: Any, key: jax.Array) -> tuple[Any, tuple[jax.Array, jax.Array]]:
        action_key, step_key = jax.random.split(key)
        actions = jax.random.randint(action_key, (episodes,), 0, environment.actions)
        playing, outcome = advance_several(environment, playing, actions, step_key)
        return playing, (outcome.total, outcome.ended)

    @jax.jit
    def play(key: jax.Array) -> jax.Array:
        first = begin_several(environment, key, episodes)
        _, (totals, ended) = jax.lax.scan(step, first, jax.random.split(key, steps))
        return jnp.sum(jnp.where(ended, totals, 0.0)) / jnp.sum(ended)

    return float(play(jax.random.key(0)))


def minatar(run: Callable[..., Path]) -> str:
    """Returns the table of MinAtar's Breakout."""
    workdir = run("dqn.py:minatar", {"seeds": MINATAR_SEEDS})
    rows = [
        row_of_returns(name, seeds_of(workdir, metric, MINATAR_SEEDS), "")[:-1]
        for name, metric in (
            ("DQN, with exploration", "train/return"),
            ("DQN, greedy", "eval/return"),
        )
    ]
    rows.append(["random actions", f"{random_returns(BREAKOUT):.2f}", "", ""])
    return table(["Breakout, 1,000,000 frames", *RETURNS], rows)


def train_seeds(
    preset: str, settings: Settings, *, folder: Path, seeds: int, overrides: Sequence[str]
) -> Path:
    """Trains the seeds of a run and returns its folder.

    Args:
        preset: a config.
        settings: that differ from it; they name the folder.
        folder: of all runs.
        seeds: how many.
        overrides: further flags.
    """
    named = [preset.replace(".py", "").replace(":", "_"), *map(str, settings.values())]
    workdir = folder / "-".join(named)
    train(preset, {"seeds": seeds, "checkpoint.every": 50, **settings}, overrides, workdir)
    return workdir


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains what is missing, and prints the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parts", default="returns,values,corridor,minatar")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workdir", type=Path, default=Path("runs/control_table"))
    options, overrides = parser.parse_known_args(arguments)
    run = functools.partial(
        train_seeds, folder=options.workdir, seeds=options.seeds, overrides=overrides
    )
    parts: Mapping[str, Callable[[], str]] = {
        "returns": lambda: returns(run, options.seeds),
        "values": lambda: over_estimation(run, options.seeds),
        "double": lambda: double_against_nature(run, options.seeds),
        "corridor": lambda: evaluation_table(options.seeds),
        "minatar": lambda: minatar(run),
    }
    for part in options.parts.split(","):
        print(f"{part}\n\n{parts[part]()}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
