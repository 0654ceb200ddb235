"""SRGAN: detail that low resolution has lost is generated (Ledig et al., CVPR 2017).

python train.py --config=configs/srgan.py:srresnet     the paper's SRResNet
python train.py --config=configs/srgan.py --config.init_from=runs/srgan-srresnet    its SRGAN
python train.py --config=configs/srgan.py:quick        SRResNet of digits, minutes on a CPU
python train.py --config=configs/srgan.py:quick_gan --config.init_from=runs/srgan-quick
python train.py --config=configs/srgan.py:tiny         seconds; for tests

--config.content=features --config.features=WORKDIR compares images in the features of a run of
configs/classifier.py, instead of the paper's VGG-19 (docs/translation.md).
"""

from ml_collections import ConfigDict

from jaxgan.images.settings import tiny, translation_settings

PRESETS = ("srresnet", "quick", "quick_gan", "tiny")


def get_config(preset: str | None = None) -> ConfigDict:
    """Returns the config, or one of `PRESETS`.

    Raises:
        ValueError: another preset.
    """
    if preset not in (None, *PRESETS):
        raise ValueError(f"no preset {preset!r}: choose one of {', '.join(PRESETS)}")
    # Section 3.2 of the paper: batches of 16 images of 96 x 96; SRGAN has 1e5 updates at a learning
    # rate of 1e-4 and 1e5 at 1e-5, from an SRResNet of 1e6 updates.
    config = translation_settings("srgan", rounds=200, batch_size=16)
    config.data.size = 96  # pixels of a side; the paper crops 96 x 96 at random, section 3.2
    config.data.pairs = "low_resolution"  # A, what G restores, is an image that has been reduced
    config.data.factor = 4  # factor by which A is reduced, section 3.2: 2, 4 or 8
    config.data.enlarge = 1.0  # otherwise A would not be the reduced B
    config.learning_rate = 1e-4  # for Adam in both networks, section 3.2
    config.adam_b1 = 0.9  # for Adam, section 3.2
    del config.decay
    config.drop = ConfigDict()
    config.drop.start = 100  # the round after which the learning rate is lower; 0: none
    config.drop.factor = 0.1  # factor by which it is then multiplied
    config.generator.blocks = 16  # residual blocks, section 3.2
    config.discriminator.levels = 4  # pairs of convolutions, of which one halves the map, figure 4
    # What the content loss compares: pixels, or features: the last map of the classifier that
    # config.features names. The paper has VGG-19's, weighted by 1/12.75^2 (section 3.2).
    config.content = "pixels"
    config.content_weight = 1.0  # weight of the content loss
    config.adversarial_weight = 1e-3  # weight of D's judgement in G's loss, equation 3; 0: SRResNet

    if preset == "srresnet":
        config.rounds, config.drop.start = 1000, 0
        config.adversarial_weight = 0.0
    elif preset in ("quick", "quick_gan"):
        # Chosen here: few narrow blocks, and a larger rate for only hundreds of updates.
        config.rounds, config.steps_per_round = 6, 150
        config.generator.features, config.generator.blocks = 16, 4
        config.discriminator.features, config.discriminator.levels = 8, 3
        config.learning_rate = 1e-3
        config.data.train, config.data.valid = 4000, 200
        config.data.flip = False  # a mirrored digit is not a digit
        config.data.factor = 2
        config.drop.start = 5
        config.validation.every = 2
        if preset == "quick":
            config.adversarial_weight = 0.0
        else:
            config.rounds, config.drop.start = 2, 1
            config.adversarial_weight = 5e-3  # the paper's value needs more updates to matter
    elif preset == "tiny":
        tiny(config)
        config.validation.samples = 4
        config.generator.features, config.generator.blocks = 2, 0
        config.discriminator.features, config.discriminator.levels = 2, 1
        config.data.factor = 2
        config.drop.start = 1
    return config
