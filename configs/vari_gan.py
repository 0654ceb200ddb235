"""VariGAN: another view of an image, coarse and then fine (Zhao et al., ACM Multimedia 2018).

python train.py --config=configs/vari_gan.py          networks for pictures of 128 x 128
python train.py --config=configs/vari_gan.py:quick    digits, minutes on a CPU
python train.py --config=configs/vari_gan.py:tiny     seconds; for tests
python sample.py --workdir=DIR --input=FOLDER --output=OUT --direction=b_to_a

One run trains both stages, one after the other. To train each by a run of its own:

python train.py --config=configs/vari_gan.py --workdir=coarse --config.stages=1 --config.rounds=100
python train.py --config=configs/vari_gan.py --workdir=fine --config.stages=2 --config.rounds=100 \
    --config.init_from=coarse --config.init_checkpoint=last
"""

from ml_collections import ConfigDict

from jaxgan.images.settings import tiny, translation_settings

PRESETS = ("quick", "tiny")


def get_config(preset: str | None = None) -> ConfigDict:
    """Returns the config, or one of `PRESETS`.

    Raises:
        ValueError: another preset.
    """
    if preset not in (None, *PRESETS):
        raise ValueError(f"no preset {preset!r}: choose one of {', '.join(PRESETS)}")
    # The lengths, sizes and weights are chosen here; those of the second stage are pix2pix's.
    config = translation_settings("vari_gan", rounds=200, batch_size=16)
    config.data.size = 128  # pixels of a side
    config.data.pairs = "views"  # A, which is rotated and slanted, and B are views of one image
    config.data.enlarge, config.data.flip = 1.0, False  # which would change what the views have
    # The stages that learn: all, one after the other, 1, or 2 with the first from config.init_from.
    config.stages = "all"
    config.first_rounds = 100  # of the first stage if all learn
    config.factor = 2  # by which images of the first stage are smaller
    config.coarse = ConfigDict()
    config.coarse.latent = 64  # numbers of z
    config.coarse.features = 64  # channels of the largest maps of the first stage, DCGAN's
    config.coarse.hidden = 256  # numbers that the first stage encodes an image in
    config.coarse_weight = 1.0  # w, of the distance in the first stage's loss, 1 over Laplace's b
    config.generator.smallest = 1  # the side of the U-Net's smallest map
    config.l1_weight = 100.0  # lambda, of the distance in the second stage's loss

    if preset == "quick":
        # Chosen here: narrow networks, and a larger rate because hundreds of updates have to do.
        config.rounds, config.first_rounds, config.steps_per_round = 6, 3, 125
        config.coarse.latent, config.coarse.features, config.coarse.hidden = 8, 16, 64
        config.generator.features = config.discriminator.features = 16
        config.learning_rate = 1e-3
        config.data.train, config.data.valid = 4000, 200
    elif preset == "tiny":
        tiny(config)
        config.validation.samples = 4
        config.first_rounds, config.factor = 1, 4
        config.coarse.latent, config.coarse.features, config.coarse.hidden = 2, 1, 2
        config.generator.features = config.discriminator.features = 2
        config.generator.smallest = 7
    return config
