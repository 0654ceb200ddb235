"""MetricGAN (Fu, Liao, Tsao and Lin, ICML 2019) on wide-band PESQ: the paper's values.

    python train.py --config=configs/metricgan.py           the paper's networks and rounds
    python train.py --config=configs/metricgan.py:quick     small networks, minutes on two cores
    python train.py --config=configs/metricgan.py:stoi      STOI instead of PESQ
    python train.py --config=configs/metricgan.py:unsupervised --config.init_from=START
                                                            DNSMOS, no clean speech: MetricGAN-U

Hardware: the discriminator makes about 240 million multiplications a frame and update, so the
paper's networks want an accelerator; `quick` and configs/metricgan_plus.py run on a CPU. The
authors report 2.86 wide-band PESQ on VoiceBank-DEMAND after 600 rounds (noisy 1.97).
"""

from ml_collections import ConfigDict

from jaxgan.speech.settings import run_settings


def get_config(preset: str | None = None) -> ConfigDict:
    """The config, or one of its presets: "quick", "stoi" or "unsupervised".

    Raises:
        ValueError: another preset.
    """
    config = run_settings("metricgan")
    config.rounds = 200  # the authors' code for TIMIT; 600 for VoiceBank-DEMAND
    config.utterances_per_round = 100  # the authors' code, `num_of_sampling`

    # The authors' code has batch 1. Padding has no effect on a result, so a larger batch costs no
    # accuracy, but it makes fewer updates of the same audio: see discriminator_learning_rate.
    config.batch_size = 8

    # A name of docs/scores.md, or the import path of your own; several with commas, a D for each.
    config.score = "pesq_wb"
    config.score_weights = ()  # of several scores in G's loss; none: 1 each
    config.score_map = "paper"  # (PESQ + 0.5) / 5, STOI as it is; "range": clean is exactly 1
    config.target = 1.0  # what G asks of D; the paper's s
    config.targets = ""  # CSV file, NAME,TARGET a line, of utterances that another s is asked for
    config.feature = "linear"  # the code for TIMIT; "log1p" in that for VoiceBank-DEMAND
    config.through_waveform = False  # D judges the masked feature itself in G's step
    config.update(networks())
    config.update(learning())

    if preset == "quick":
        shrink(config)
    elif preset == "stoi":
        config.score = "stoi"
        config.validation.scores = ("pesq_wb",)
    elif preset == "unsupervised":
        forgo_clean_speech(config)
    elif preset is not None:
        raise ValueError(f"no preset {preset!r}: choose quick, stoi or unsupervised")
    return config


def networks() -> ConfigDict:
    """The paper's networks, 1,892,057 and 345,330 parameters."""
    config = ConfigDict({"generator": {}, "discriminator": {}})
    config.generator.layers = 2
    config.generator.width = 200
    config.generator.dense = 300
    config.generator.dropout = 0.05
    config.generator.floor = 0.05
    config.generator.learnable_sigmoid = False
    config.generator.normalise = True
    config.generator.cudnn = False  # True: the LSTMs by cuDNN on NVIDIA GPUs; same numbers
    config.discriminator.channels = (15, 25, 40, 50)
    config.discriminator.kernels = (5, 7, 9, 11)
    config.discriminator.dense = (50, 10)
    config.discriminator.sees_reference = True  # False: D judges the candidate alone
    return config


def learning() -> ConfigDict:
    """What happens in a round, and the optimizers."""
    config = ConfigDict()
    config.order = "generator_first"  # the authors' code, which leaves G alone in the first round
    config.clean_teaches = True
    config.noisy_teaches = False  # the paper's D learns from clean and enhanced alone
    config.replay = ConfigDict()
    config.replay.share = 0.1  # of all items of earlier rounds: the authors' code
    config.replay.most = 0  # items a round, so that late rounds stay short; 0: no limit, as theirs
    config.replay.clean = True  # with their clean sides: the authors' code

    # Adam as in Keras 2.0.9, which the authors used: 1e-3 for both, at batch 1.
    config.generator_learning_rate = 1e-3
    # D, offline on 146 pairs of 2 s: its correlation with the true PESQ of 40 held-out pairs
    # after 120 updates of batch 8 was 0.30 at 5e-4, 0.35 at 2e-3, 0.54 at 5e-3, 0.67 at 1e-2 and
    # 0.25 at 2e-2. Until D tells clean from degraded G learns nothing: 1e-3 times the batch.
    config.discriminator_learning_rate = 8e-3
    config.adam_b1 = 0.9
    config.adam_b2 = 0.999
    config.gradient_clip = 0.0  # largest norm of a gradient; 0: none, as in the authors' code

    # Updates of a network after which its learning rate r has become r / 2, after twice as many
    # r / 3, and so on; 0: constant, as in the authors' code.
    config.learning_rate_decay = 0
    # Share that an average of G's parameters keeps of itself at an update; validation and use take
    # that average. 0: none, as in the authors' code.
    config.average_decay = 0.0

    config.warmup_rounds = 0  # rounds in which G learns from clean speech instead; not the paper's
    config.warmup_learning_rate = 1e-3
    return config


def forgo_clean_speech(config: ConfigDict) -> None:
    """MetricGAN-U (Fu et al. 2021): a score that hears the enhanced speech alone, and so does D.

    Values as published, unless it says otherwise. G is tuned by its small rate, not made: begin
    with a run of this feature and these networks.
    """
    config.rounds = 600
    config.score = "dnsmos_ovr"
    config.validation.scores = ()
    config.discriminator.sees_reference = False
    config.order = "discriminator_first"
    config.clean_teaches = False
    config.noisy_teaches = True
    config.replay.share = 0.2
    config.replay.clean = False
    config.generator.floor = 0.2
    config.generator_learning_rate = 1.5e-6
    config.discriminator_learning_rate = 5e-4 * config.batch_size  # see above


def shrink(config: ConfigDict) -> None:
    """A first honest result on a laptop's CPU in a few minutes: the algorithm in small.

    Other than in the paper, G begins with a few supervised rounds (validation shows what the
    adversarial ones add), batches are small because a CPU gains nothing from large ones, and the
    noisy speech teaches D too, as in MetricGAN+, which makes D useful in half the updates.
    """
    config.rounds = 16
    config.utterances_per_round = 32
    config.batch_size = 2
    config.warmup_rounds = 5
    config.feature = "log1p"
    config.noisy_teaches = True
    config.generator.layers = 1
    config.generator.width = 96
    config.generator.dense = 128
    config.discriminator.channels = (8, 8, 8)
    config.discriminator.kernels = (5, 5, 5)
    config.generator_learning_rate = 1e-4  # 2e-4 and more: PESQ falls again within a few rounds
    config.discriminator_learning_rate = 2e-3  # 4e-3: D forgets what clean speech is at times
    config.data.buckets = 2
    config.validation.every = 2
    config.validation.scores = ()
