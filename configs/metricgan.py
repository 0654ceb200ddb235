"""MetricGAN (Fu, Liao, Tsao and Lin, ICML 2019) on wide-band PESQ, with the paper's values.

    python train.py --config=configs/metricgan.py           the paper's networks and rounds
    python train.py --config=configs/metricgan.py:quick     small networks, minutes on two cores
    python train.py --config=configs/metricgan.py:stoi      STOI instead of PESQ
    python train.py --config=configs/metricgan.py:unsupervised --config.init_from=START
                                                            DNSMOS, no clean speech: MetricGAN-U
    python train.py --config=configs/metricgan.py:tiny      seconds; for tests

Hardware: the discriminator takes about 240 million multiplications for each frame of an update, so
the paper's networks need an accelerator; `quick` and configs/metricgan_plus.py run on a CPU. The
authors report 2.86 wide-band PESQ on VoiceBank-DEMAND after 600 rounds (noisy 1.97).
"""

from ml_collections import ConfigDict

from jaxgan.speech.settings import run_settings, tiny

PRESETS = ("quick", "stoi", "unsupervised", "tiny")


def get_config(preset: str | None = None) -> ConfigDict:
    """Returns the config, or one of `PRESETS`.

    Raises:
        ValueError: another preset.
    """
    if preset is not None and preset not in PRESETS:
        raise ValueError(f"no preset {preset!r}: choose one of {', '.join(PRESETS)}")
    config = run_settings("metricgan")
    config.rounds = 200  # the authors' code for TIMIT; 600 for VoiceBank-DEMAND
    config.utterances_per_round = 100  # the authors' code, `num_of_sampling`

    # The authors' code has batch 1. Padding has no effect on results, so a larger batch costs no
    # accuracy, but it makes fewer updates from the same audio: see discriminator_learning_rate.
    config.batch_size = 8

    # Several scores are separated by commas; each gets its own D.
    config.score = "pesq_wb"
    config.score_weights = ()  # weights of several scores in G's loss; empty: 1 each
    config.target = 1.0  # the score that G aims for, on D's scale; the paper's s
    config.targets = ""  # CSV file with lines NAME,TARGET: other targets of single utterances
    # Magnitudes: the code for TIMIT; "log1p" in that for VoiceBank-DEMAND.
    config.feature = "linear"
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
    elif preset == "tiny":
        tiny(config)
        shrink_networks(config)
        config.replay.share = 0.5  # so that the second of few rounds replays something
    return config


def networks() -> ConfigDict:
    """Returns the paper's networks, 1,892,057 and 345,330 parameters."""
    config = ConfigDict({"generator": {}, "discriminator": {}})
    config.generator.layers = 2  # bidirectional LSTMs
    config.generator.width = 200  # units of an LSTM for each direction
    config.generator.dense = 300  # units of the layer after the LSTMs
    config.generator.dropout = 0.05  # share of that layer's outputs, in training
    config.generator.floor = 0.05  # lowest value of the mask, to prevent musical noise
    config.generator.power = 1.0  # the LSTMs see the input to this power
    config.generator.learnable_sigmoid = False  # True: MetricGAN+'s activation, up to 1.2
    config.generator.normalise = True  # each frequency of an utterance to mean 0 and variance 1
    config.generator.causal = False  # True: LSTMs that only run forwards, for enhance.py --stream
    config.discriminator.channels = (15, 25, 40, 50)  # channels of the convolutions
    config.discriminator.kernels = (5, 7, 9, 11)  # widths of their kernels, in frames and bins
    config.discriminator.dense = (50, 10)  # units of the layers between the average and the score
    config.discriminator.sees_reference = True  # False: D sees only the candidate
    return config


def learning() -> ConfigDict:
    """Returns the settings of a round and of the optimizers."""
    config = ConfigDict()
    # Of the players in a round: the authors' code, in which G pauses in the first round.
    config.order = "generator_first"
    config.clean_teaches = True  # D learns that clean speech has the best score
    # True: D also learns the scores of noisy speech; the paper's D learns only from clean and
    # enhanced speech.
    config.noisy_teaches = False
    config.replay = ConfigDict()
    config.replay.share = 0.1  # share of all items of earlier rounds; the authors' code
    config.replay.most = 0  # limits the items, to keep late rounds short; 0: no limit, as published
    # Outputs are replayed together with the clean speech: the authors' code.
    config.replay.clean = True

    # Adam as in Keras 2.0.9, which the authors used: 1e-3 for both, at batch 1.
    config.generator_learning_rate = 1e-3
    # 1e-3 times the batch size. D trained offline on 146 pairs of 2 s: after 120 updates of batch 8
    # its correlation with the true PESQ of 40 held-out pairs was 0.30 at 5e-4, 0.35 at 2e-3, 0.54
    # at 5e-3, 0.67 at 1e-2 and 0.25 at 2e-2. G learns nothing until D distinguishes clean speech.
    config.discriminator_learning_rate = 8e-3
    config.adam_b1 = 0.9  # decay of the mean of gradients
    config.adam_b2 = 0.999  # decay of the mean of squared gradients
    config.gradient_clip = 0.0  # largest norm of a gradient; 0: no limit, as in the authors' code

    # The learning rate after n updates is divided by 1 + n / learning_rate_decay; 0: constant, as
    # in the authors' code.
    config.learning_rate_decay = 0.0

    config.warmup_rounds = 0  # supervised rounds of G at the start; not in the paper
    config.warmup_learning_rate = 1e-3  # for G in those rounds, with Adam
    return config


def forgo_clean_speech(config: ConfigDict) -> None:
    """MetricGAN-U (Fu et al. 2021): neither the score nor D needs clean speech.

    Values as published, unless a comment says otherwise. The small learning rate of G only tunes
    it: start from a run with this feature and these networks.
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
    """Shrinks the run to a first honest result on a laptop's CPU in a few minutes.

    Unlike in the paper, G starts with a few supervised rounds (validation shows what the
    adversarial ones add), batches are small because a CPU gains nothing from large ones, and D also
    learns from noisy speech, as in MetricGAN+, which makes it useful after half as many updates.
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
    config.discriminator_learning_rate = 2e-3  # at 4e-3 D sometimes forgets clean speech
    config.data.buckets = 2
    config.validation.every = 2
    config.validation.scores = ()


def shrink_networks(config: ConfigDict) -> None:
    """Makes both networks so small that a test can train them."""
    config.generator.layers = 1
    config.generator.width = 8
    config.generator.dense = 8
    config.discriminator.channels = (3, 4)
    config.discriminator.kernels = (5, 3)
    config.discriminator.dense = (5,)
