"""SeqGAN (Yu, Zhang, Wang and Yu, AAAI 2017) on sequences of an oracle: the paper's values.

    python train.py --config=configs/seqgan.py             the paper's sizes and rounds
    python train.py --config=configs/seqgan.py:quick       small sizes, minutes on two cores
    python train.py --config=configs/seqgan.py:reduced     the paper's oracle, few updates of D
    python train.py --config=configs/seqgan.py:pg_bleu     as reduced, BLEU-3 instead of D
    python train.py --config=configs/seqgan.py:text --config.data.path=FILE
    python train.py --config=configs/seqgan.py:words --config.data.path=FILE
    python train.py --config=configs/seqgan.py:tiny        seconds; for tests

The paper's rounds make 1.6 million updates of D: use an accelerator, or 30 hours on two cores.

Three things differ from the authors' code: a baseline is subtracted from the rewards (without one,
their loss lowers -log p under the oracle even with a constant reward), the roll-out policy follows
G with the delay that they describe, and the data are shuffled before every epoch.
"""

from ml_collections import ConfigDict

from jaxgan.core.settings import run_settings

PRESETS = ("quick", "reduced", "pg_bleu", "text", "words", "tiny")


def get_config(preset: str | None = None) -> ConfigDict:
    """Returns the config, or one of its presets.

    Raises:
        ValueError: there is no such preset.
    """
    if preset is not None and preset not in PRESETS:
        raise ValueError(f"no preset {preset!r}: choose one of {', '.join(PRESETS)}")
    config = settings()
    if preset == "quick":
        quick(config)
    elif preset == "reduced":
        reduce(config)
    elif preset == "pg_bleu":
        reduce(config)
        reward_bleu(config)
    elif preset in ("text", "words"):
        text(config, preset)
    elif preset == "tiny":
        tiny(config)
    return config


def settings() -> ConfigDict:
    """Returns the paper's values; what it does not give is from the authors' code."""
    config = run_settings("seqgan", rounds=120 + 50 + 200, batch_size=64)

    # The rounds of each kind follow each other.
    config.pretrain_rounds = 120  # rounds that train only G, one epoch each
    config.discriminator_rounds = 50  # rounds that train only D, after those of G
    # Updates of G in an adversarial round; the paper, Fig. 3: 1, 5 and 3 were best.
    config.g_steps = 1
    config.d_steps = 5  # sets of generated sequences that D learns from in an adversarial round
    config.epochs = 3  # epochs of D on one set of generated sequences
    config.discriminator_batches = 0  # batches in an epoch of D; 0: all data and as many generated
    config.roll_outs = 16  # completions of each prefix, whose rewards are averaged
    config.roll_out_decay = 0.8  # the share of its own parameters that the roll-out policy keeps
    config.baseline = True  # the mean reward is subtracted; not in the paper. False: its loss
    config.judge = "discriminator"  # or constant, random: controls without a discriminator
    # How much the share of true tokens among G's inputs falls per epoch (Bengio et al. 2015): 0 is
    # teacher forcing, 0.002 is the authors' scheduled sampling.
    config.scheduled_sampling = 0.0

    config.generator = ConfigDict()
    config.generator.embedding = 32  # dimensions of a token's embedding
    config.generator.hidden = 32  # units of the LSTM
    config.generator_learning_rate = 1e-2  # for Adam, in pretraining
    config.policy_learning_rate = 1e-2  # for Adam, in adversarial rounds
    config.gradient_clip = 5.0  # largest norm of G's gradient; 0: no limit

    config.discriminator = ConfigDict()
    config.discriminator.embedding = 64  # dimensions of a token's embedding
    # Tokens that each convolution sees.
    config.discriminator.widths = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 20)
    # Channels of each of them.
    config.discriminator.filters = (100, 200, 200, 200, 200, *[100] * 5, 160, 160)
    config.discriminator.dropout = 0.25  # share of the features of D
    config.discriminator_learning_rate = 1e-4  # for Adam
    config.penalty = 0.2  # weight of the squared norm of D's output layer
    config.critic = False  # True: D is a Wasserstein critic
    config.gradient_penalty = 10.0  # weight, of a critic; Gulrajani et al. 2017

    config.data = data()
    config.validation.every = 5  # rounds
    config.validation.samples = 10_000  # how many samples each validation draws and measures
    config.validation.bleu_samples = 500  # how many of them BLEU and Self-BLEU measure
    config.validation.bleu_order = 5  # longest n-grams
    return config


def data() -> ConfigDict:
    """Returns the settings of an oracle's sequences; presets change them for other data."""
    settings = ConfigDict()
    settings.kind = "oracle"  # oracle | text | tunes | molecules
    settings.seed = 0  # for drawing the data and the held-out share
    settings.oracle = ""  # .npz or pickle file of the oracle's parameters; "": they are drawn
    settings.oracle_seed = 0  # for the parameters of a randomly drawn oracle
    settings.oracle_width = 32  # size of its embedding and its hidden layer
    settings.vocabulary = 5000  # tokens of the oracle, or at most of a text (0: no limit)
    settings.length = 20  # tokens; for text, one more than in the longest line (0: from the file)
    settings.count = 10_000  # training sequences
    settings.held_out = 2_000  # sequences for validation
    settings.path = ""  # file for the kind text, with one sequence per line
    settings.unit = "characters"  # what a token of a text is; or words, smiles
    settings.held_out_share = 0.1  # share of the lines of a text, for validation
    return settings


def quick(config: ConfigDict) -> None:
    """Makes the oracle smaller and the rounds few: it shows the curves, not the paper's numbers."""
    config.pretrain_rounds = 20
    config.discriminator_rounds = 3
    config.rounds = 20 + 3 + 20
    config.d_steps = 1
    config.epochs = 1
    config.discriminator_batches = 60
    config.roll_outs = 8
    config.policy_learning_rate = 1e-3
    config.data.vocabulary = 500
    config.data.count = 5_000
    config.validation.samples = 2_000
    config.validation.bleu_samples = 200
    config.validation.every = 4


def reduce(config: ConfigDict) -> None:
    """Keeps the paper's oracle and networks, with a fiftieth of its updates of D, for two cores."""
    config.pretrain_rounds = 40
    config.discriminator_rounds = 5
    config.rounds = 40 + 5 + 100
    config.d_steps = 1
    config.epochs = 1
    config.discriminator_batches = 60
    # At 1e-2 Adam makes full-size steps along the noise of a batch of 64.
    config.policy_learning_rate = 1e-3
    config.validation.samples = 4_000


def reward_bleu(config: ConfigDict) -> None:
    """Makes it PG-BLEU: the reward is BLEU-3 against a share of the data, without D."""
    config.recipe = "organ"
    config.objective = "bleu"
    config.share = 0.0
    config.repetition_penalty = False
    config.roll_outs = 1  # the authors' code
    config.rounds -= config.discriminator_rounds
    config.discriminator_rounds = 0


def text(config: ConfigDict, unit: str) -> None:
    """Reads a text file, `--config.data.path=FILE`, with one sequence per line."""
    config.data.kind = "text"
    config.data.unit = "words" if unit == "words" else "characters"
    config.data.vocabulary = 5000
    config.data.length = 0
    config.generator.embedding = 64
    config.generator.hidden = 128
    config.generator_learning_rate = 2e-3
    config.policy_learning_rate = 2e-4
    config.discriminator.widths = (1, 2, 3, 4, 5)
    config.discriminator.filters = (100, 200, 200, 200, 200)
    config.pretrain_rounds = 40
    config.discriminator_rounds = 5
    config.rounds = 40 + 5 + 50
    config.d_steps = 1
    config.validation.samples = 1_000


def tiny(config: ConfigDict) -> None:
    """Shrinks everything: one round of pretraining of G, one of D, two adversarial ones."""
    config.batch_size = 8
    config.pretrain_rounds = 1
    config.discriminator_rounds = 1
    config.rounds = 1 + 1 + 2
    config.d_steps = 1
    config.epochs = 1
    config.roll_outs = 2
    config.generator.update({"embedding": 4, "hidden": 5})
    config.discriminator.update({"embedding": 4, "widths": (1, 2), "filters": (3, 4)})
    config.data.vocabulary = 11
    config.data.oracle_width = 6
    config.data.length = 5
    config.data.count = 40
    config.data.held_out = 16
    config.validation.every = 2
    config.validation.samples = 24
    config.validation.bleu_samples = 8
    config.validation.bleu_order = 4
