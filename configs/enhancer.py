"""Several scores at once and a spectral loss, with a dual-path network.

    python train.py --config=configs/enhancer.py           the network below, hours on a CPU
    python train.py --config=configs/enhancer.py:pretrained   a mask network, hours on a CPU
    python train.py --config=configs/enhancer.py:quick     a smaller one, few rounds, on a CPU
    python train.py --config=configs/enhancer.py:tiny      seconds, to see that everything runs

For mixtures of your own speech with up to two noises, at -5 to 15 dB:

    python train.py --config=configs/enhancer.py --config.data.kind=mix \\
      --config.data.speech=SPEECH --config.data.noise=NOISE

The network has 0.94 million parameters and takes 0.51 billion multiplications for a second of
speech: 0.03 s on one core, or 0.16 s with its gradient (without the gradient of the scores). On a
CPU it learns slowly; the preset pretrained, which made the network that comes with jaxgan, uses a
mask network (docs/models.md). The dual-path network has not been trained for long yet, so there are
no scores to report.
"""

from ml_collections import ConfigDict

from configs import metricgan, metricgan_plus
from jaxgan.speech.settings import run_settings, tiny

PRESETS = ("pretrained", "quick", "tiny")


def get_config(preset: str | None = None) -> ConfigDict:
    """Returns the config, or one of `PRESETS`.

    Raises:
        ValueError: another preset.
    """
    if preset not in (None, *PRESETS):
        raise ValueError(f"no preset {preset!r}: choose one of {', '.join(PRESETS)}")
    config = run_settings("enhancer")
    config.rounds = 200  # 100 utterances each: 5,000 updates; more is better
    config.utterances_per_round = 100
    config.batch_size = 4  # as in MP-SENet

    # The scores in G's loss: quality, intelligibility and the waveform. For a score without a JAX
    # function, such as dnsmos_ovr or your own, a discriminator learns it.
    config.score = "pesq_wb,estoi,si_sdr"
    config.score_weights = ()  # empty: 1 each
    config.spectral_weight = 1.0  # weight of the compressed spectral loss; 0: none
    # equal_norm: on average the gradient of every loss with respect to gains of the noisy spectrum
    # has the same norm, times its weight. constant: the weights apply to the losses.
    config.weighting = "equal_norm"
    # G's loss uses JAX functions in any case. On accelerators validation compares the first score
    # with the host's.
    config.scoring.where = "auto"
    # In addition to the scores of the loss. The best checkpoint should have none of all these
    # scores below that of the noisy speech.
    config.validation.scores = ("estoi", "si_sdr", "csig", "cbak", "covl")

    config.network = "dual_path"  # or mask, the network of configs/metricgan.py
    config.feature = "linear"  # magnitudes that a mask network sees and multiplies; or log1p
    config.generator = ConfigDict()
    config.generator.width = 64  # the channels of CMGAN and MP-SENet
    config.generator.hidden = 32  # half of them between the layers along frequency
    config.generator.taps = 5  # frames that a convolution along time sees; our choice
    config.generator.dilations = (1, 2, 4, 8, 16, 32)  # one a block; they reach 2 s to both sides
    config.generator.causal = False  # True: for enhance.py --stream

    config.discriminator = metricgan_plus.get_config().discriminator
    config.discriminator_learning_rate = 5e-4 * config.batch_size  # as in configs/metricgan_plus.py

    # Adam as in MP-SENet (Lu, Ai and Ling 2023), whose rate falls by 1 % an epoch.
    config.generator_learning_rate = 5e-4
    config.adam_b1 = 0.8  # decay of the mean of gradients
    config.adam_b2 = 0.99  # decay of the mean of squared gradients
    config.gradient_clip = 0.0  # largest norm of a gradient; 0: no limit
    config.learning_rate_decay = 0.0  # updates until the rate has halved; 0: it stays constant
    config.average_decay = 0.99  # about the last 100 updates

    # Our choices.
    config.data.snrs = (-5.0, 0.0, 5.0, 10.0, 15.0)  # dB, of mixtures
    config.data.noises = 2  # the most noise clips in a mixture
    config.data.reverb_share = 0.25  # share of the utterances that are reverberated
    config.data.band_share = 0.1  # share of the utterances with only the band of 8 kHz recordings
    config.data.gains = (-20.0, 6.0)  # dB, the range of random changes of the level

    if preset == "pretrained":
        config.batch_size = 2  # more updates; a CPU takes as long for an utterance in any batch
        config.network = "mask"
        config.generator = metricgan.networks().generator
        config.generator.power = 0.3  # of the magnitudes, as in MP-SENet and in the spectral loss
        config.generator.dropout = 0.0  # the losses have no dropout
        config.rounds = 400
        config.generator_learning_rate = 1e-3  # a common value for mask networks
        config.adam_b1 = 0.9  # decay of the mean of gradients
        config.adam_b2 = 0.999  # decay of the mean of squared gradients
        config.gradient_clip = 50.0  # largest norm of a gradient; our choice
        config.learning_rate_decay = 4000.0  # updates until the rate has halved
        config.average_decay = 0.995  # about the last 200 updates
        config.score_weights = (5.0, 1.0, 1.0)  # our choice; docs/models.md has what they reach
        # At -5 dB and in strong reverberation PESQ is close to its lowest value and has almost no
        # gradient, so there are few such mixtures.
        config.data.snrs = (-5.0, 0.0, 5.0, 10.0, 15.0, 20.0)  # dB, of mixtures
        config.data.noises = 1  # the most noise clips in a mixture
        config.data.reverb_share = 0.1  # share of the utterances that are reverberated
        config.data.buckets = 2
        config.validation.every = 10
    elif preset == "quick":
        config.rounds = 16
        config.utterances_per_round = 32
        config.batch_size = 2  # on a CPU a larger batch is not faster, and there are few updates
        config.discriminator_learning_rate = 1e-3
        config.generator.width = 32
        config.generator.hidden = 16
        config.generator.dilations = (1, 2, 4, 8)
        config.generator_learning_rate = 2e-3  # a small network and few updates
        config.data.buckets = 2
        config.validation.every = 4
        config.validation.scores = ("estoi", "si_sdr")
    elif preset == "tiny":
        tiny(config)
        config.generator.width = 8
        config.generator.hidden = 4
        config.generator.taps = 3
        config.generator.dilations = (1, 2)
        config.discriminator.channels = (3, 4)
        config.discriminator.kernels = (5, 3)
        config.discriminator.dense = (5,)
    return config
