"""Compares trained enhancers on held-out speech and noise, under four conditions, and their cost.

    taskset -c 0 python benchmarks/speech_table.py RUN [RUN ...] --speech=DIR --noise=DIR
        [--pairs=DIR] [--workdir=runs/speech_table] [--scores=all]

RUN is the folder of a run, or "pretrained". The held-out speech and noise, those that `data.kind`
mix validates on, give four test sets of pairs, each utterance once:

    mixtures      at 2.5, 7.5, 12.5 and 17.5 dB, those of VoiceBank-DEMAND's test set
    low_snr       at -5 dB
    reverberant   at 2.5 to 17.5 dB, reverberation of 0.3 to 0.8 s before the noise is added
    band_4000     at 2.5 to 17.5 dB, and nothing above 4000 Hz, as recorded at 8000 Hz

--pairs is a further test set with the folders clean and noisy. `jaxgan.compare` scores the best
checkpoint of each run on each set. WORKDIR/SET/table.md and report.html have the means with their
95 % intervals, and tests of the differences. The last table has the number of parameters and the
real-time factor: seconds of CPU time for a second of speech, with the median of `REPEATS` runs on
10 s. With taskset it is that of one core.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import compare, recipes
from jaxgan.core import config as configs
from jaxgan.core import devices
from jaxgan.speech.data import audio
from jaxgan.speech.data.augment import augment, make_augmentation
from jaxgan.speech.data.corpora import open_corpora
from jaxgan.speech.data.corpus import PairCorpus

ROOT = Path(__file__).parents[1]
SNRS = "(2.5, 7.5, 12.5, 17.5)"
SETS = {
    "mixtures": {"snrs": SNRS},
    "low_snr": {"snrs": "(-5.0,)"},
    "reverberant": {"snrs": SNRS, "reverb_share": "1.0", "t60": "(0.3, 0.8)"},
    "band_4000": {"snrs": SNRS, "band_share": "1.0"},
}
"""The settings of config.data for each test set."""
SECONDS, REPEATS = 10, 7


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the test sets, and a table for each. Returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--speech", required=True)
    parser.add_argument("--noise", required=True)
    parser.add_argument("--pairs")
    parser.add_argument("--workdir", type=Path, default=Path("runs/speech_table"))
    parser.add_argument("--scores", default="")
    flags = parser.parse_args(arguments)
    devices.prepare()
    folders = {"pairs": Path(flags.pairs)} if flags.pairs else {}
    for name, settings in SETS.items():
        folders[name] = flags.workdir / "sets" / name
        if not folders[name].exists():
            write_set(folders[name], settings, flags.speech, flags.noise)
    for name, folder in folders.items():
        output = flags.workdir / name
        command = [*flags.runs, f"--data={folder}", f"--output={output}"]
        status = compare.main([*command, *([f"--scores={flags.scores}"] if flags.scores else [])])
        if status:
            return status
    print("run | parameters | real-time factor")
    for run in flags.runs:
        print(" | ".join([run, *cost(run)]), flush=True)
    return 0


def write_set(folder: Path, settings: dict[str, str], speech: str, noise: str) -> None:
    """Writes the held-out utterances with their noise to FOLDER/clean and FOLDER/noisy."""
    given = {"kind": "mix", "speech": speech, "noise": noise, **settings}
    overrides = [f"--config.data.{key}={value}" for key, value in given.items()]
    config = configs.load(str(ROOT / "configs" / "mask_regression.py"), overrides)
    corpus = open_corpora(config).valid
    assert isinstance(corpus, PairCorpus)
    augmentation = make_augmentation(config.data)
    length = int(corpus.lengths.max())
    changed = jax.jit(lambda *sides: augment(augmentation, *sides))
    for number, name in enumerate(corpus.names):
        sides = [corpus.clean(number), corpus.noisy(number)]
        if not augmentation.changes_nothing:
            count = len(sides[0])
            padded = [np.pad(side, (0, length - count))[None] for side in sides]
            keys = jax.random.split(jax.random.fold_in(jax.random.key(0), number), 1)
            made = changed(*padded, jnp.array([count]), keys)
            sides = [np.asarray(side)[0, :count] for side in made]
        for kind, side in zip(("clean", "noisy"), sides, strict=True):
            path = folder / kind / f"{name}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            audio.write(path, side)


def cost(run: str) -> list[str]:
    """Returns the number of parameters of a run's network and its real-time factor, as text."""
    trained = recipes.command(run, "enhance")(run, "best")
    samples = SECONDS * audio.SAMPLE_RATE
    noisy = np.random.default_rng(0).normal(0, 0.1, (1, samples)).astype(np.float32)
    trained(noisy, np.array([samples]))
    spent = []
    for _ in range(REPEATS):
        started = time.process_time()
        trained(noisy, np.array([samples]))
        spent.append(time.process_time() - started)
    count = sum(leaf.size for leaf in jax.tree.leaves(trained.params))
    return [f"{count:,}", f"{statistics.median(spent) / SECONDS:.3f}"]


if __name__ == "__main__":
    sys.exit(main())
