"""Proximal policy optimisation in environments with a finite number of actions.

python train.py --config=configs/ppo.py            CartPole with CleanRL's hyper-parameters
python train.py --config=configs/ppo.py:quick      a quarter of the steps
python train.py --config=configs/ppo.py:tiny       seconds; for tests
"""

from ml_collections import ConfigDict

from jaxgan.control.settings import run_settings

PRESETS = ("quick", "tiny")


def get_config(preset: str | None = None) -> ConfigDict:
    """Returns the config, or one of `PRESETS`.

    Raises:
        ValueError: another preset.
    """
    if preset not in (None, *PRESETS):
        raise ValueError(f"no preset {preset!r}: choose one of {', '.join(PRESETS)}")
    # The numbers are those of CleanRL's ppo.py. It makes 976 rollouts of 512 steps, 499,712 steps.
    config = run_settings("ppo", rounds=61, batch_size=128)  # rounds of 16 rollouts
    config.environments = 4  # how many are played at the same time
    config.rollout = 128  # steps in each environment between updates
    config.steps_per_round = 8192  # 16 rollouts of 4 x 128 steps
    config.widths = (64, 64)  # sizes of the hidden layers of each network
    config.learning_rate = 2.5e-4  # for Adam, at the start
    config.annealing_steps = 499_712  # environment steps in which the learning rate falls to 0
    config.gamma = 0.99  # discount
    config.gae_lambda = 0.95  # decay of the generalised advantages
    config.epochs = 4  # passes over a rollout
    config.clip = 0.2  # epsilon; also the most that a value may move
    config.entropy_weight = 0.01  # weight of the mean entropy in the loss
    config.value_weight = 0.5  # weight of the values' error in the loss
    config.max_gradient_norm = 0.5  # largest norm of an update's gradient; 0: not clipped

    if preset == "quick":
        config.rounds, config.annealing_steps = 15, 122_880
    elif preset == "tiny":
        config.env = "Catch"
        config.rounds, config.steps_per_round = 2, 32
        config.rollout, config.batch_size = 4, 8  # divides over up to eight devices
        config.widths, config.learning_rate, config.annealing_steps = (32,), 3e-3, 6400
        config.validation.every, config.validation.episodes = 2, 4
        config.checkpoint.every = 1
    return config
