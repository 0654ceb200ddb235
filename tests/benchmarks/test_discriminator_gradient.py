"""The script that compares D's gradient with the score's, on made-up segments."""

import functools
import json
import types
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from jaxgan.core import config as configs
from jaxgan.scores.training_scores import find_device_score

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
FLAGS = [
    "--config.score=si_sdr",
    "--config.generator.width=4",
    "--config.generator.dense=4",
    "--config.discriminator.channels=(2,)",
    "--config.discriminator.kernels=(3,)",
    "--config.discriminator.dense=(3,)",
]


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import discriminator_gradient

        yield discriminator_gradient


@pytest.fixture(scope="module")
def experiment(script):
    """With few short segments of noise, small networks and SI-SDR."""

    def made_up(corpus, count, config):
        keys = jax.random.split(jax.random.key(len(corpus.names)))
        clean, noise = (jax.random.normal(key, (count, script.SEGMENT)) / 20 for key in keys)
        return script.Segments(clean, clean + noise)

    corpora = [types.SimpleNamespace(names=["a"] * count) for count in (1, 2)]
    opened = types.SimpleNamespace(train=corpora[0], valid=corpora[1])
    sizes = {"SEGMENT": 8 * 256, "TRAIN": 8, "HELD_OUT": 8, "BATCH": 4, "SUPERVISED_UPDATES": 0}
    data = {"open_corpora": lambda *_: opened, "segments": made_up}
    config = configs.load(f"{BENCHMARKS.parent}/configs/metricgan_plus.py", FLAGS)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (sizes | data).items():
            patch.setattr(script, name, value)
        yield script.Experiment(config, find_device_score("si_sdr"))


def test_the_parameters_gradient_is_that_of_the_sum_of_scores(script, experiment):
    def total(params):
        outputs = [
            script.generator_output(params, batch, system=experiment.system)
            for batch in experiment.held_out.batches()
        ]
        pairs = zip(outputs, experiment.held_out.batches(), strict=True)
        return sum(experiment.score(output, batch)[0].sum() for output, batch in pairs)

    expected, _ = ravel_pytree(jax.jit(jax.grad(total))(experiment.generator))
    found = experiment.truth.parameters.sum(0)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_matching_turns_the_discriminators_gradient_towards_the_scores(script, experiment):
    some = experiment.train.take(slice(0, 4))
    output = experiment.jit(script.generator_output)(experiment.generator, some)
    aims = experiment.score(output, some)[1].reshape(4, -1)

    def cosines(state):
        player = state.players["discriminator"]
        predict = functools.partial(script.predictions, player=player, system=experiment.system)
        found = jax.jit(script.with_gradient(predict))(output, some)[1].reshape(4, -1)
        return np.mean(list(map(script.cosine, np.asarray(found), np.asarray(aims))))

    state = experiment.state
    for _ in range(20):
        state, _ = experiment.jit(script.match_step)(state, output, some, aims)
    assert cosines(state) > cosines(experiment.state) + 0.02


def test_unscorable_speech_has_no_gradient(script):
    def score(clean, waves, lengths):
        return jnp.where(waves[:, 0] > 0, waves.sum(axis=1), jnp.nan)

    of_waves = functools.partial(script.scores_of_waves, score=score, scale=lambda raw: 2 * raw)
    waves = jnp.array([[1.0, 2.0], [-1.0, 2.0]])
    gradient = jax.grad(lambda each: of_waves(each, each).sum())(waves)
    np.testing.assert_array_equal(gradient, [[2, 2], [0, 0]])


def test_rows_of_earlier_runs_are_tabled_with_their_intervals(script, tmp_path, capsys):
    for seed, gain in enumerate((1.0, 2.0, 3.0)):
        for row in ("score", "matched"):
            found = {"parameters": 0.5} | ({"gain": gain} if row == "matched" else {})
            (tmp_path / f"{row}_7_{seed}.json").write_text(json.dumps(found))
    script.main([f"--workdir={tmp_path}", "--seeds=3", "--updates=7", "--rows=matched"])
    table = capsys.readouterr().out.splitlines()[-2:]
    # Student's t with two degrees of freedom is 4.303, and the standard error 1 / sqrt(3).
    assert table == [
        "| score | - | - | - | 0.500 ± 0.000 | - |",
        "| matched | - | - | - | 0.500 ± 0.000 | 2.000 ± 2.484 |",
    ]
