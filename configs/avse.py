"""Audio-visual speech enhancement by Conv-TasNet (Luo and Mesgarani 2019) and a video of the mouth.

    python train.py --config=configs/avse.py          3.7 million parameters: for an accelerator
    python train.py --config=configs/avse.py:quick    a small network at 0 dB, on a CPU
    python train.py --config=configs/avse.py:tiny     seconds, to see that everything runs

The data are two synthetic talkers with drawn mouths (`config.data.kind="talking"`), so the scores
say nothing about real faces. `--config.data.kind=avsec --config.data.root=DIR` reads those of the
Audio-Visual Speech Enhancement Challenge; see docs/audio_visual.md.
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
    config = run_settings("avse")
    config.score = "si_sdr"  # what G learns; with the right video, it selects the best checkpoint
    config.scoring.where = "device"  # the JAX function of the score
    config.validation.scores = ("stoi", "si_sdr")  # si_sdr also if config.score is another one
    config.data.kind = "talking"  # two talkers and their mouths
    # The range of AVSEC-4, the fourth Audio-Visual Speech Enhancement Challenge.
    config.data.snrs = (-18.0, -12.0, -6.0, 0.0, 6.55)
    # Twice as much as the demo corpus, so that a large network overfits later.
    config.data.talking.train = 1000
    config.rounds = 500  # each with 1000 utterances; our choice
    config.utterances_per_round = 1000  # all of them; our choice
    config.batch_size = 8  # our choice
    config.validation.every = 5  # rounds; our choice

    # Conv-TasNet's best non-causal network; it has 2 ms windows, which are 32 samples at 16 kHz.
    config.generator = ConfigDict()
    config.generator.filters = 512  # N
    config.generator.stride = 16  # samples, half a window; divides 640
    config.generator.channels = 128  # B
    config.generator.hidden = 512  # H
    config.generator.kernel = 3  # P
    config.generator.blocks = 8  # X
    config.generator.repeats = 3  # R
    config.generator.visual_channels = 128  # as many as B
    config.generator.visual_blocks = 5  # 2.5 s of video around each frame
    config.generator_learning_rate = 1e-3  # Adam, as in the paper
    config.gradient_clip = 5.0  # as in the paper
    config.adam_b1 = 0.9  # decay of the mean of gradients
    config.adam_b2 = 0.999  # decay of the mean of squared gradients
    config.learning_rate_decay = 20_000.0  # updates until the rate has halved; our choice
    config.average_decay = 0.0  # no running average of G's parameters, see configs/metricgan.py

    # The length of the random segment of an utterance that an update sees, as in the paper; 0: the
    # whole utterance.
    config.segment_seconds = 4.0
    config.video = ConfigDict({"height": 24, "width": 32})  # pixels, those of talking
    # Top, left, bottom and right of the mouth in video files, as shares of the frame: the centre
    # that the baseline of AVSEC-4 crops, 112 of 224 pixels.
    config.video.box = (0.25, 0.25, 0.75, 0.75)
    config.video_dropout = 0.2  # the share of utterances without video in training; our choice
    config.video_freeze = 0.1  # the share whose video freezes at a random frame; our choice

    if preset == "quick":
        config.data.snrs = (0.0,)  # only the video tells who is the target
        config.data.talking.train = 2000  # with 1000, validation gets worse after 30 rounds
        config.rounds = 60
        config.utterances_per_round = 400
        # 16 ms windows: fewer frames to compute than with 2 ms.
        config.generator.update(filters=256, stride=128, channels=48, hidden=96, blocks=5)
        config.generator.update(repeats=2, visual_channels=48, visual_blocks=3)
        config.data.buckets = 1  # compiling more shapes takes longer than computing the padding
        config.generator_learning_rate = 2e-3  # 1e-3 takes longer
        config.segment_seconds = 2.0  # an update takes half as long as with whole utterances
        config.learning_rate_decay = 0.0
        config.average_decay = 0.99  # over 100 updates, two rounds
        config.validation.every = 5
    elif preset == "tiny":
        tiny(config)
        config.segment_seconds = 1.0
        config.data.talking.train = 8
        config.data.talking.valid = 2
        config.generator.update(filters=8, stride=128, channels=8, hidden=8, blocks=2, repeats=1)
        config.generator.update(visual_channels=8, visual_blocks=1)
    return config
