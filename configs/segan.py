"""SEGAN (Pascual, Bonafonte and Serra, Interspeech 2017): the paper's values.

    python train.py --config=configs/segan.py          97 million parameters: for an accelerator
    python train.py --config=configs/segan.py:quick    a small network, minutes on a CPU
    python train.py --config=configs/segan.py:tiny     seconds, to see that everything runs

The authors report 2.16 wide-band PESQ on VoiceBank-DEMAND (noisy 1.97), CSIG 3.48, CBAK 2.94, COVL
2.80, SSNR 7.73.
"""

from ml_collections import ConfigDict

from jaxgan.speech.settings import run_settings, tiny


def get_config(preset: str | None = None) -> ConfigDict:
    """Returns the config, or its preset "quick" or "tiny".

    Raises:
        ValueError: another preset.
    """
    if preset not in (None, "quick", "tiny"):
        raise ValueError(f"no preset {preset!r}: choose quick or tiny")
    config = run_settings("segan")
    config.score = "pesq_wb"  # selects the best checkpoint; no player learns from it
    config.score_map = "paper"
    # 86 epochs of VoiceBank-DEMAND's 11,572 utterances.
    config.rounds = 995
    config.utterances_per_round = 1000  # drawn for a round; our choice
    # The paper's 400 windows: an utterance of VoiceBank-DEMAND has about five.
    config.batch_size = 80
    config.validation.every = 5  # rounds; our choice

    # The paper's values, unless a comment says otherwise.
    config.window = 16384  # samples; successive windows overlap by half
    config.pre_emphasis = 0.95  # share of the previous sample that is subtracted from each
    filters = (16, 32, 32, 64, 64, 128, 128, 256, 256, 512, 1024)
    config.generator, config.discriminator = ConfigDict(), ConfigDict()
    # Channels of the convolutions; each of them halves the length.
    config.generator.filters = config.discriminator.filters = filters
    config.generator.kernel = config.discriminator.kernel = 31  # samples that a convolution sees
    config.discriminator.reference = 32  # windows of the reference batch; not given in the paper
    config.l1_weight = 100.0  # weight of the distance from clean speech in G's loss
    config.generator_learning_rate = 2e-4  # for RMSprop
    config.discriminator_learning_rate = 2e-4  # for RMSprop
    config.average_decay = 0.0  # no running average of G's parameters, see configs/metricgan.py

    if preset == "quick":
        # 4 s a round on one core of a CPU. PESQ rises from 1.03 to 1.23 in round 60 and falls
        # later; the noisy speech of the demo corpus has 1.34.
        config.rounds = 60
        config.utterances_per_round = 16
        config.batch_size = 2
        config.window = 4096
        config.generator.filters = (8, 16, 16, 32, 32)
        config.generator.kernel = 15
        config.discriminator.filters = (8, 16, 16, 32, 32)
        config.discriminator.kernel = 15
        config.discriminator.reference = 8
        config.data.buckets = 2
        config.validation.every = 10
        config.validation.scores = ()
    elif preset == "tiny":
        tiny(config)
        config.window = 1024
        config.generator.filters = (3, 4)
        config.generator.kernel = 7
        config.discriminator.filters = (3, 4)
        config.discriminator.kernel = 7
        config.discriminator.reference = 4
    return config
