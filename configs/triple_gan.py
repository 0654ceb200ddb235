"""Triple-GAN (Li et al. 2017): a classifier, a generator and a judge of pairs, with few labels.

python train.py --config=configs/triple_gan.py \\
    --config.data.kind=mnist --config.data.root=DIR   the paper's MNIST experiment, 100 labels
python train.py --config=configs/triple_gan.py:quick     drawn digits, minutes on a CPU
python train.py --config=configs/triple_gan.py:tiny      seconds; for tests

--config.unlabelled=False is the control. Two things differ from the authors' MNIST code: the
classifier is fully connected here and a convolutional network there, and there it is trained on the
labels for 30 epochs first, and all learning rates decay after epoch 300.
"""

from ml_collections import ConfigDict

from jaxgan.images.settings import few_labels, noisy_settings, run_settings, tiny

PRESETS = ("quick", "tiny")


def get_config(preset: str | None = None) -> ConfigDict:
    """Returns the config, or one of `PRESETS`.

    Numbers without another source are those of the authors' MNIST code.

    Raises:
        ValueError: another preset.
    """
    if preset not in (None, *PRESETS):
        raise ValueError(f"no preset {preset!r}: choose one of {', '.join(PRESETS)}")
    config = run_settings("triple_gan", rounds=1000, batch_size=200)
    config.steps_per_round = 300  # batches in a round: one epoch of MNIST
    config.average_decay = 0.99  # for the running averages of all players' parameters
    few_labels(config)
    noisy_settings(config)  # as in Salimans et al. 2016, whose code the authors extend
    # The classifier of Salimans et al. 2016.
    config.classifier = ConfigDict()
    config.classifier.widths = (1000, 500, 250, 250, 250)  # sizes of its hidden layers
    config.classifier.input_noise = 0.3  # standard deviation; images are from 0 to 1
    config.classifier.noise = 0.5  # standard deviation, before all other layers
    # Learning rates of Adam.
    config.generator_learning_rate = config.discriminator_learning_rate = 1e-3
    config.classifier_learning_rate = 1e-3  # for Adam
    # The weight of labelled images among the pairs that the discriminator accepts. The others are
    # labelled by the classifier: the authors use one labelled image and 400 others.
    config.labelled_share = 1 / 401
    config.share = 0.5  # of the classifier's pairs among those that D learns to reject
    config.pseudo_weight = 0.1  # weight of generated images in training the classifier
    config.pseudo_start = 90_000  # steps until G's images train the classifier: 300 epochs
    config.confidence_weight = 0.3  # weight of the entropy of the classifier's answers in its loss
    config.balance_weight = 1e-3  # weight; distance of its mean answer from equally likely classes

    if preset == "quick":
        # To save time: half of the widths, smaller batches, and generated images as training data
        # from early on.
        config.rounds, config.steps_per_round = 6, 500
        config.batch_size = 100
        config.generator.widths = (250, 250)
        config.discriminator.widths = config.classifier.widths = (500, 250, 250)
        config.pseudo_start = 1000
    elif preset == "tiny":
        tiny(config)
        config.data.kind = "ring"
        config.data.labelled, config.labelled_batch_size = 16, 8
        config.latent = 4
        config.generator.widths = config.discriminator.widths = (16,)
        config.classifier.widths = (16,)
        config.pseudo_start = 2
    return config
