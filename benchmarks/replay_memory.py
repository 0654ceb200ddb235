"""Measures the memory of a run while the records that its rounds leave for replay grow.

    python benchmarks/replay_memory.py [--rounds=500] [--utterances=100] [--seconds=3] [--every=5]

Simulates rounds: each leaves a record of enhanced utterances, a checkpoint is written every few
rounds, and the replay of each round is drawn and read as in training (share 0.2, at most --most
items). Nothing is trained. Prints the process's own memory (RssAnon, which excludes pages of files
that the system can reclaim) and the bytes of the history. Linux only. The records are written to a
temporary folder, which is removed.
"""

import argparse
import contextlib
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgan.core import devices
from jaxgan.core.checkpoint import Checkpoints, Position
from jaxgan.core.state import History, make_player, make_run_state
from jaxgan.speech.data.audio import SAMPLE_RATE
from jaxgan.speech.data.corpus import PairCorpus, choose_buckets
from jaxgan.speech.data.replay import make_record, replay_batches
from jaxgan.speech.data.waves import join

SHARE = 0.2
LINES = 10
"""How many lines are printed."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulates and prints a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--utterances", type=int, default=100, help="of a round (default 100)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of an utterance (default 3)")
    parser.add_argument("--every", type=int, default=5, help="rounds between checkpoints")
    parser.add_argument("--most", type=int, default=200, help="items replayed (default 200)")
    options = parser.parse_args(arguments)
    devices.start()
    print(f"{'round':>6} {'history MB':>11} {'own memory MB':>14} {'replay ms':>10}")
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.closing(Checkpoints(folder)) as checkpoints,
    ):
        simulate(options, checkpoints)


def simulate(options: argparse.Namespace, checkpoints: Checkpoints) -> None:
    """Runs the rounds and prints a line every few of them."""
    random = np.random.default_rng(0)
    lengths = (options.seconds * SAMPLE_RATE * random.uniform(0.5, 1.5, 50)).astype(np.int32)
    waves = [random.integers(-9000, 9000, length, np.int16) for length in lengths]
    names = tuple(map(str, range(len(waves))))
    corpus = PairCorpus(names, join(waves), join(waves), choose_buckets(lengths, 4))
    player = make_player({"params": {"weight": jnp.zeros(9)}}, optax.adam(0.1))
    state = make_run_state(jax.random.key(0), {"player": player})
    history: History = ()
    stored = 0
    for number in range(1, options.rounds + 1):
        started = time.perf_counter()
        draw = (SHARE, options.most, 8, 0, number)
        for batch in replay_batches(history, corpus, *draw):
            assert batch.lengths.any()
        replayed = time.perf_counter() - started
        index = random.integers(0, len(waves), options.utterances).astype(np.int32)
        made = [waves[item].copy() for item in index]
        gains, labels = np.ones(len(index), np.float32), random.uniform(size=(len(index), 1))
        record = make_record(index, gains, lengths[index], made, labels.astype(np.float32))
        stored += sum(array.nbytes for array in record.values())
        history = (*history, record)
        if number % options.every == 0:
            history = checkpoints.save(state, history, Position(number))
        if number % max(1, options.rounds // LINES) == 0:
            own = own_megabytes()
            print(f"{number:6} {stored / 1e6:11.0f} {own:14.0f} {1e3 * replayed:10.0f}", flush=True)


def own_megabytes() -> float:
    """Returns the megabytes of this process that do not belong to files."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise OSError("/proc/self/status has no RssAnon")


if __name__ == "__main__":
    main()
