"""Deep Q-learning in built-in environments: DQN and three of its descendants.

python train.py --config=configs/dqn.py            CartPole with CleanRL's hyper-parameters
python train.py --config=configs/dqn.py:2013       no target network (Mnih et al. 2013)
python train.py --config=configs/dqn.py:nature     the same as no preset (Mnih et al. 2015)
python train.py --config=configs/dqn.py:double     Double DQN (van Hasselt et al. 2016)
python train.py --config=configs/dqn.py:dueling    dueling Double DQN (Wang et al. 2016)
python train.py --config=configs/dqn.py:minatar    Breakout of MinAtar, in gymnax (the extra gymnax)
python train.py --config=configs/dqn.py:quick      the same as no preset, a fifth of the steps
python train.py --config=configs/dqn.py:tiny       seconds; for tests

The presets of the four papers change only the algorithm. All keep CleanRL's hyper-parameters,
including its squared error: the Nature paper's clipped error diverges on CartPole
(docs/control_results.md).
"""

from ml_collections import ConfigDict

from jaxgan.control.settings import run_settings

PRESETS = ("2013", "nature", "double", "dueling", "minatar", "quick", "tiny")


def get_config(preset: str | None = None) -> ConfigDict:
    """Returns the config, or one of `PRESETS`.

    Raises:
        ValueError: another preset.
    """
    if preset not in (None, *PRESETS):
        raise ValueError(f"no preset {preset!r}: choose one of {', '.join(PRESETS)}")
    # The numbers are those of CleanRL's dqn.py unless a comment says otherwise.
    config = run_settings("dqn", rounds=50, batch_size=128)  # 50 rounds of 10,000 steps
    config.widths = (120, 84)  # sizes of the hidden layers
    config.learning_rate = 2.5e-4  # of the optimizer; the Nature paper has the same
    config.optimizer = "adam"  # or rmsprop, Nature's
    config.loss = "squared"  # or huber, Nature's clipped error
    config.max_gradient_norm = 0.0  # largest norm of an update's gradient; 0: not clipped
    config.double = False  # True: Double DQN
    config.dueling = False  # True: the dueling network, of values and advantages
    config.target_every = 500  # environment steps; 0: no target network
    config.n_steps = 1  # steps in the return that Q learns
    config.gamma = 0.99  # discount, as in all four papers
    config.train_every = 10  # environment steps between two updates
    config.learning_starts = 10_000  # environment steps before the first update
    config.replay_capacity = 10_000  # transitions in the replay ring
    config.epsilon_start = 1.0  # share of random actions at the start
    config.epsilon_end = 0.05  # share of random actions after exploration_steps
    config.exploration_steps = 250_000  # environment steps, half of the run
    # Prioritised replay; 0: none. Schaul et al. (2016), table 3, use 0.6 (proportional), with a
    # beta (the next value) that grows from 0.4 to 1 during the run.
    config.priority_exponent = 0.0
    config.correction_exponent = 0.4  # beta of prioritised replay at the start; it grows to 1
    config.correction_steps = 500_000  # environment steps until beta is 1

    if preset == "2013":
        config.target_every = 0
    elif preset in ("double", "dueling"):
        config.double = True
        config.dueling = preset == "dueling"
        config.max_gradient_norm = 10.0 if preset == "dueling" else 0.0  # Wang et al., section 4.2
    elif preset == "minatar":
        # Young and Tian (2019), with a fifth of their steps, and an update in every fourth step, as
        # in the Nature paper, instead of every step. Their network starts with 16 convolutions of
        # 3 x 3; this one sees the board as a vector.
        config.env, config.rounds = "gymnax:Breakout-MinAtar", 100
        config.widths, config.optimizer, config.loss = (128,), "rmsprop", "huber"
        config.batch_size, config.environments, config.train_every = 32, 4, 4
        config.target_every = 4000  # every 1000 updates, as theirs
        config.replay_capacity, config.learning_starts = 100_000, 5000
        config.epsilon_end, config.exploration_steps = 0.1, 100_000
    elif preset == "quick":
        config.rounds, config.exploration_steps = 10, 50_000
    elif preset == "tiny":
        config.env = "Catch"
        config.rounds, config.steps_per_round = 2, 24
        config.environments, config.train_every = 2, 4
        config.batch_size = 16  # divides over up to eight devices
        config.widths, config.learning_rate = (64,), 3e-3
        config.double = config.dueling = True
        config.replay_capacity, config.learning_starts = 32, 8  # the ring wraps around
        config.exploration_steps = 2000
        config.target_every, config.n_steps = 8, 2
        config.validation.every, config.validation.episodes = 2, 4
        config.checkpoint.every = 1
    return config
