"""ORGAN (Guimaraes et al. 2017): sequences that resemble the data and have a high objective.

    python train.py --config=configs/organ.py                  generated tunes, objective tonality
    python train.py --config=configs/organ.py:molecules        small molecules, druglikeness
    python train.py --config=configs/organ.py --config.objective=my_module:reward_fn
    python train.py --config=configs/organ.py:critic           a Wasserstein critic as D
    python train.py --config=configs/organ.py:naive            the objective only, without D
    python train.py --config=configs/organ.py:tiny             seconds; for tests

Your own data: --config.data.kind=text --config.data.path=FILE, with --config.data.unit=words for
tunes, smiles for molecules. `--config.share=1` is SeqGAN. Minutes on two cores.
"""

from ml_collections import ConfigDict

from configs import seqgan

PRESETS = ("molecules", "critic", "naive", "tiny")


def get_config(preset: str | None = None) -> ConfigDict:
    """Returns the config, or one of its presets.

    Raises:
        ValueError: there is no such preset.
    """
    if preset is not None and preset not in PRESETS:
        raise ValueError(f"no preset {preset!r}: choose one of {', '.join(PRESETS)}")
    config = seqgan.settings()
    config.recipe = "organ"
    config.objective = "tonality"  # a name of docs/sequences.md, or an import path
    # The share of D in the reward; 0: only the objective. The authors' code has 0.5 and scales the
    # ratings of each batch to 0..1.
    config.share = 0.3
    config.repetition_penalty = True  # repeated sequences in a batch count less; the authors' code
    config.scoring = ConfigDict()
    config.scoring.workers = 0  # worker processes for the objective; 0: one per core
    config.scoring.deadline_seconds = 60.0  # for 256 sequences
    small(config)
    config.data.kind = "tunes"  # oracle | text | tunes | molecules
    config.data.unit = "words"  # each word is a note; or characters, smiles
    config.data.count = 500  # training tunes
    if preset == "molecules":
        molecules(config)
    elif preset == "critic":
        critic(config)
    elif preset == "naive":
        config.share = 0.0
        config.discriminator_rounds = 0
    elif preset == "tiny":
        tiny(config)
    return config


def small(config: ConfigDict) -> None:
    """Sets networks and rounds for hundreds of short sequences; the authors trained for days."""
    config.data.length = 0  # tokens; 0: the length of the longest sequence
    config.data.vocabulary = 0  # the most tokens; 0: all
    config.generator.hidden = 64  # units of the LSTM
    config.generator_learning_rate = 5e-3  # for Adam, in pretraining
    # At 1e-3 tonality rose from 0.050 to 0.054 in 30 rounds.
    config.policy_learning_rate = 5e-3
    config.discriminator.embedding = 32  # as in the authors' example for molecules, like the widths
    config.discriminator.widths = (1, 2, 3, 4, 5, 8)  # tokens that a convolution sees
    config.discriminator.filters = (50, 50, 50, 50, 50, 50)  # channels of each convolution
    config.discriminator_learning_rate = 1e-3  # for Adam
    config.pretrain_rounds = 30  # rounds that train only G, one epoch each
    config.discriminator_rounds = 3  # rounds that train only D, after those of G
    # In 10 more rounds the diversity of tunes fell from 0.82 to 0.44.
    config.rounds = 30 + 3 + 37
    config.d_steps = 1  # sets of generated sequences that D learns from in an adversarial round
    config.epochs = 1  # epochs of D on one set of generated sequences
    config.roll_outs = 8  # completions of each prefix
    config.validation.every = 10  # rounds
    config.validation.samples = 512  # how many samples each validation draws and measures
    config.validation.bleu_samples = 200  # how many of them BLEU and Self-BLEU measure
    config.validation.bleu_order = 4  # longest n-grams


def molecules(config: ConfigDict) -> None:
    """Takes small molecules, enumerated by RDKit."""
    config.objective = "druglikeness"
    config.data.kind = "molecules"
    config.data.unit = "smiles"
    config.data.count = 2_000
    config.roll_outs = 4  # QED takes 2 ms per molecule


def critic(config: ConfigDict) -> None:
    """Makes D a Wasserstein critic: no softmax, and a gradient penalty."""
    config.critic = True
    config.penalty = 0.0
    config.discriminator.dropout = 0.0


def tiny(config: ConfigDict) -> None:
    """Shrinks everything as configs/seqgan.py:tiny does, on tunes with one worker process."""
    seqgan.tiny(config)
    config.scoring.workers = 1
    config.data.vocabulary = 0
    config.data.length = 0
