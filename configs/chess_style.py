"""Style transfer GAN that learns to play chess like one player (Chidambaram and Qi 2017).

python train.py --config=configs/chess_style.py            the authors' networks, scripted games
python train.py --config=configs/chess_style.py:quick      small networks, a minute on a CPU
python train.py --config=configs/chess_style.py:nostyle    the same without style: the control
python train.py --config=configs/chess_style.py:tiny       seconds; for tests

Your own games: --config.data.kind=pgn --config.data.root=FOLDER --config.data.player="Tal, Mihail"
"""

from ml_collections import ConfigDict

from jaxgan.control.chess.settings import run_settings

PRESETS = ("quick", "nostyle", "tiny")


def get_config(preset: str | None = None) -> ConfigDict:
    """Returns the config, or one of `PRESETS`.

    Raises:
        ValueError: another preset.
    """
    if preset not in (None, *PRESETS):
        raise ValueError(f"no preset {preset!r}: choose one of {', '.join(PRESETS)}")
    # The numbers are those of the authors' program unless a comment says otherwise.
    config = run_settings("chess_style", rounds=100, batch_size=128)  # rounds and batch: ours
    config.widths = (2048, 2048)  # sizes of the hidden layers of G and D
    config.evaluator_learning_rate = config.discriminator_learning_rate = 5e-5  # for Adam
    config.weight_decay = 0.0  # for AdamW, in both networks
    config.discriminator_steps = 5  # updates of D for one of G
    config.style_weight = 4.0  # w, of D's judgement in the loss of G
    config.generated_share = 1.0  # D learns only to tell the player's moves from G's
    config.alternatives = 1  # random moves that a played one is compared with

    if preset in ("quick", "nostyle"):
        # Ours: what a CPU trains in a minute.
        config.rounds, config.widths = 10, (256, 64)
        config.evaluator_learning_rate, config.weight_decay = 1e-3, 1e-2
        config.discriminator_learning_rate = 2e-4  # with 1e-3 it memorises the player's games
        config.discriminator_steps = 1
        config.style_weight = 0.5 if preset == "quick" else 0.0
        # D compares the player with others, and does not depend on G: both presets train one D.
        config.generated_share = 0.0
    elif preset == "tiny":
        config.rounds, config.steps_per_round = 2, 3
        config.batch_size = 16  # divides over up to eight devices
        config.widths = (16,)
        config.evaluator_learning_rate = config.discriminator_learning_rate = 1e-3
        config.discriminator_steps, config.generated_share = 2, 0.5
        config.data.count, config.data.valid_share = 24, 0.3
        config.validation.positions = 20
        config.checkpoint.every = 1
    return config
