"""SeqGAN (Yu, Zhang, Wang and Yu, AAAI 2017) on sequences of an oracle: the paper's values.

    python train.py --config=configs/seqgan.py             the paper's sizes and rounds
    python train.py --config=configs/seqgan.py:quick       a first look, minutes on two cores
    python train.py --config=configs/seqgan.py:reduced     the paper's oracle, few updates of D
    python train.py --config=configs/seqgan.py:pg_bleu     as reduced, BLEU-3 in place of D
    python train.py --config=configs/seqgan.py:text --config.data.path=FILE
    python train.py --config=configs/seqgan.py:words --config.data.path=FILE

The paper's rounds are 1.6 million updates of D: an accelerator's work, 30 hours of two cores.

What differs from the authors' code: a baseline is subtracted from the rewards (their loss without
one lowers -log p under the oracle with a constant reward as well), the roll-out policy follows G
with the delay that they describe, and the data are shuffled before every epoch.
"""

from ml_collections import ConfigDict

PRESETS = ("quick", "reduced", "pg_bleu", "text", "words")


def get_config(preset: str | None = None) -> ConfigDict:
    """The config, or one of its presets.

    Raises:
        ValueError: another preset.
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
    return config


def settings() -> ConfigDict:
    """The paper's values, and from the authors' code those that it does not print."""
    config = ConfigDict()
    config.recipe = "seqgan"
    config.seed = 0
    config.init_from = ""  # a run whose networks this one begins with
    config.init_checkpoint = "best"  # of that run: best, last or a round
    config.debug_nans = False
    config.dtype = "float32"  # of D's products; or bfloat16
    config.batch_size = 64  # the authors' code, like all below unless it says otherwise

    # Rounds of each kind, one after the other.
    config.pretrain_rounds = 120  # of G, an epoch each
    config.discriminator_rounds = 50  # of D
    config.rounds = 120 + 50 + 200
    config.g_steps = 1  # the paper, Fig. 3: 1, 5 and 3 were best
    config.d_steps = 5
    config.epochs = 3  # of D over one set of generated sequences
    config.discriminator_batches = 0  # of an epoch of D; 0: all data and as many generated
    config.roll_outs = 16
    config.roll_out_decay = 0.8  # share that the roll-out policy keeps of itself
    config.baseline = True  # not the paper's; False: its loss
    config.judge = "discriminator"  # or constant, random: controls that need no discriminator
    # Falls of the share of true tokens that G is fed with, an epoch (Bengio et al. 2015): 0 is
    # teacher forcing, 0.002 the authors' scheduled sampling.
    config.scheduled_sampling = 0.0

    config.generator = ConfigDict({"embedding": 32, "hidden": 32})
    config.generator_learning_rate = 1e-2
    config.policy_learning_rate = 1e-2
    config.gradient_clip = 5.0  # of G; 0: none

    config.discriminator = ConfigDict()
    config.discriminator.embedding = 64
    config.discriminator.widths = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 20)
    config.discriminator.filters = (100, 200, 200, 200, 200, *[100] * 5, 160, 160)
    config.discriminator.dropout = 0.25
    config.discriminator_learning_rate = 1e-4
    config.penalty = 0.2  # of D's output layer
    config.critic = False  # True: a Wasserstein critic
    config.gradient_penalty = 10.0  # of a critic; Gulrajani et al. 2017

    config.data = data()
    config.validation = ConfigDict()
    config.validation.every = 5  # rounds
    config.validation.samples = 10_000
    config.validation.bleu_samples = 500  # BLEU and Self-BLEU are of the first so many
    config.validation.bleu_order = 5  # longest n-grams
    config.checkpoint = ConfigDict({"every": 5})
    return config


def data() -> ConfigDict:
    """The oracle's sequences; other kinds have their presets."""
    settings = ConfigDict()
    settings.kind = "oracle"  # oracle | text
    settings.seed = 0  # of the draw of the data
    settings.oracle = ""  # .npz or pickle file of the oracle's parameters; or they are drawn:
    settings.oracle_seed = 0
    settings.oracle_width = 32  # its embedding and hidden units
    settings.vocabulary = 5000  # of the oracle; the most of a text (0: no limit)
    settings.length = 20  # of text: one more than its longest line has (0: as the file)
    settings.count = 10_000  # sequences to learn from
    settings.held_out = 2_000
    settings.path = ""  # of text, one sequence a line
    settings.unit = "characters"  # of text; or words
    settings.held_out_share = 0.1  # of text
    return settings


def quick(config: ConfigDict) -> None:
    """A smaller oracle and few rounds: what the curves look like, not the paper's numbers."""
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
    """The paper's oracle and networks, a fiftieth of its updates of D: for two cores of a CPU."""
    config.pretrain_rounds = 40
    config.discriminator_rounds = 5
    config.rounds = 40 + 5 + 100
    config.d_steps = 1
    config.epochs = 1
    config.discriminator_batches = 60
    # At 1e-2 Adam walks full-size steps on the noise of a batch of 64.
    config.policy_learning_rate = 1e-3
    config.validation.samples = 4_000


def reward_bleu(config: ConfigDict) -> None:
    """PG-BLEU: the reward is BLEU-3 against a share of the data; there is no discriminator."""
    config.recipe = "organ"
    config.objective = "bleu"
    config.share = 0.0
    config.repetition_penalty = False
    config.roll_outs = 1  # the authors' code
    config.rounds -= config.discriminator_rounds
    config.discriminator_rounds = 0


def text(config: ConfigDict, unit: str) -> None:
    """A text file, `--config.data.path=FILE`, one sequence a line."""
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
