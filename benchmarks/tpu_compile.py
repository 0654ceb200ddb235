"""Compiles the training steps of systems for TPUs, on a machine that has none.

    pip install -e ".[tpu]"
    python benchmarks/tpu_compile.py [--topology=v5e:2x4 --topology=v6e:16x16]
        [--system=metricgan_plus --system=seqgan --system=dcgan] [--program=NAME ...] [--rows=8]
        [--json=FILE] [--hlo=FOLDER]

The compiler of TPUs comes with the package libtpu and needs no TPU, only a description of one. For
every program of a training run, the table has

    compile s     seconds to compile it on this machine
    memory MB     on each chip: arguments, results and temporary arrays
    GFLOP, GB     arithmetic and memory traffic of one chip, by the compiler's cost model, which
                  counts the body of a loop once: one batch of a program that has several, and one
                  time step of a recurrent network
    loops         while loops
    collectives   operations between chips, by kind

A program that calls the host ends the script with an error: it would make every chip wait for
Python. Batches have `--rows` rows per chip: utterances of 4 s, sequences of 20 tokens, or images of
28 x 28, the size of the config's data. Figures are written after every program, so an interrupted
run keeps them.
"""

import argparse
import contextlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import jax
import numpy as np
from jax.experimental import topologies
from jax.experimental.compilation_cache import compilation_cache
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan import recipes
from jaxgan.core import config as configs
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.rounds import StepRecipe
from jaxgan.core.state import PyTree
from jaxgan.sequences.data.corpora import Corpus
from jaxgan.sequences.systems import seqgan
from jaxgan.speech.data.audio import SAMPLE_RATE
from jaxgan.speech.data.batching import Batch
from jaxgan.speech.scored_batches import ScoredBatch
from jaxgan.speech.systems.metricgan import MetricGAN

CONFIGS = Path(__file__).parents[1] / "configs"
TOPOLOGIES = ("v5e:2x4", "v6e:16x16")
SAMPLES = 4 * SAMPLE_RATE
"""The length of an utterance, a multiple of the hop. VoiceBank-DEMAND's utterances have 3 s on
average."""
COLLECTIVES = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute")


class Program(NamedTuple):
    """A program of a training run.

    Attributes:
        name: of the program.
        function: has a method `lower`, like the results of `jax.jit` and `jaxgan.core.steps.Steps`.
        arguments: arrays, or `jax.ShapeDtypeStruct`s of them.
    """

    name: str
    function: Any
    arguments: tuple[PyTree, ...]


def main(arguments: Sequence[str] | None = None) -> int:
    """Compiles, prints a table, and writes JSON if asked to. Returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--topology", action="append", help="such as v5e:2x4; may be repeated")
    parser.add_argument("--system", action="append", choices=SYSTEMS, help="may be repeated")
    parser.add_argument("--program", action="append", help="only this one; may be repeated")
    parser.add_argument("--rows", type=int, default=8, help="of a batch, per chip (default 8)")
    parser.add_argument("--json", type=Path, help="file for the same figures as JSON")
    parser.add_argument("--hlo", type=Path, help="folder for the compiled programs as text")
    options = parser.parse_args(arguments)
    # The processor of this machine only traces the programs.
    jax.config.update("jax_platforms", "cpu")
    rows: list[dict[str, Any]] = []
    print(HEAD)
    try:
        for topology in options.topology or TOPOLOGIES:
            mesh = topology_mesh(topology)
            for system in options.system or SYSTEMS:
                config = configs.load(str(CONFIGS / f"{system}.py"), [])
                config.batch_size = options.rows * mesh.size
                for name, found, text in compiled(system, config, mesh, options.program):
                    rows.append({"topology": topology, "system": system, "program": name, **found})
                    print(line(rows[-1]), flush=True)
                    if options.json:
                        options.json.write_text(json.dumps(rows, indent=1) + "\n")
                    if options.hlo:
                        options.hlo.mkdir(parents=True, exist_ok=True)
                        file = "-".join([topology.replace(":", "-"), system, name]) + ".txt"
                        (options.hlo / file).write_text(text)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def topology_mesh(name: str) -> Mesh:
    """Returns a mesh, like that of a run, over the chips of a TPU slice that is only described.

    Args:
        name: chip and shape, such as v5e:2x4.

    Raises:
        UserError: libtpu is not installed or does not know the name.
    """
    # libtpu would look for the other machines of a slice, and refuse to be in two processes.
    environment = {"TPU_WORKER_HOSTNAMES": "localhost", "ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}
    try:
        with mock.patch.dict(os.environ, environment):
            topology = topologies.get_topology_desc(name, "tpu")
    except Exception as error:
        raise UserError(f"--topology={name}: {error}") from error
    return topologies.make_mesh(topology, (len(topology.devices),), (devices.DATA,))


def compiled(
    system: str, config: ConfigDict, mesh: Mesh, only: Sequence[str] | None = None
) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Compiles the programs of a system.

    Args:
        system: one of `SYSTEMS`.
        config: of a run of it.
        mesh: the devices, which may be those of `topology_mesh`.
        only: names of programs, if not all.

    Yields:
        The name of a program, its figures, and the compiled program as text.

    Raises:
        UserError: a program calls the host.
    """
    with described(mesh):
        for program in SYSTEMS[system](config, mesh):
            if not only or program.name in only:
                yield program.name, *figures(program)


@contextlib.contextmanager
def described(mesh: Mesh) -> Iterator[None]:
    """Within this context arrays that the package places are only described.

    The package also believes that this process's devices are those of the mesh, which decides how
    it computes a few things.
    """

    def describe(tree: PyTree, sharding: jax.sharding.Sharding) -> PyTree:
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree
        )

    platform = mesh.devices.flat[0].platform
    with (
        mock.patch.object(devices, "put", describe),
        mock.patch.object(jax, "default_backend", return_value=platform),
    ):
        yield


def figures(program: Program) -> tuple[dict[str, Any], str]:
    """Compiles a program; returns its figures, and its text.

    Raises:
        UserError: it calls the host.
    """
    lowered = program.function.lower(*program.arguments)
    refuse_host_calls(program.name, lowered.as_text())
    with without_cache():
        start = time.perf_counter()
        executable = lowered.compile()
        seconds = time.perf_counter() - start
    text = executable.as_text()
    refuse_host_calls(program.name, text)
    memory, cost = executable.memory_analysis(), executable.cost_analysis()
    used = (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
        + memory.temp_size_in_bytes
    )
    return {
        "compile s": seconds,
        "memory MB": used / 1e6,
        "GFLOP": cost.get("flops", 0) / 1e9,
        "GB": cost.get("bytes accessed", 0) / 1e9,
        "loops": len(re.findall(r" while\(", text)),
        **collectives(text),
    }, text


@contextlib.contextmanager
def without_cache() -> Iterator[None]:
    """Within this context jax neither stores compiled programs nor reads stored ones.

    It cannot read programs for devices that are only described, and reading takes no time to
    measure.
    """
    enabled = jax.config.jax_enable_compilation_cache  # type: ignore[attr-defined]
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()  # jax looks at the setting only once
    try:
        yield
    finally:
        jax.config.update("jax_enable_compilation_cache", enabled)
        compilation_cache.reset_cache()


def collectives(text: str) -> dict[str, int]:
    """Returns how many collective operations of each kind a compiled program contains."""
    return {kind: len(re.findall(rf" {kind}(?:-start)?\(", text)) for kind in COLLECTIVES}


def refuse_host_calls(name: str, text: str) -> None:
    """Raises UserError if a program, lowered or compiled, calls the host or waits for it."""
    callback = r"custom_call\s+@\w*callback|custom_call_target=\"[^\"]*callback"
    transfer = r"is_host_transfer\s*=\s*true| (?:infeed|outfeed)\(|stablehlo\.(?:infeed|outfeed)"
    found = re.search(f"{callback}|{transfer}", text)
    if found:
        line = text[text.rfind("\n", 0, found.start()) + 1 :].split("\n", 1)[0].strip()
        raise UserError(f"the program {name} calls the host: {line[:200]}")


def metricgan_programs(config: ConfigDict, mesh: Mesh) -> list[Program]:
    """Returns the programs of a round of MetricGAN for one padded length, with device scores.

    The gathering of utterances into batches is left out, and so is validation.
    """
    config.scoring.where = "device"
    config.scoring.workers = 1  # for validation
    config.data.resident_megabytes = 0
    config.data.demo.update({"train": 8, "valid": 2})
    with contextlib.redirect_stdout(sys.stderr):
        recipe = recipes.make(config, mesh)
    assert isinstance(recipe, MetricGAN)
    recipe.close()
    scorer, rows = recipe.scorer, (config.batch_size,)
    waves, scores = np.zeros((*rows, SAMPLES), np.int16), len(recipe.training.scores.names)
    of_rows = {
        "lengths": np.zeros(rows, np.int32),
        "index": np.zeros(rows, np.int32),
        "gain": np.zeros(rows, np.float32),
    }
    batch = Batch(**devices.put_sharded({"clean": waves, "noisy": waves, **of_rows}, mesh))
    known = np.zeros((*rows, scores), np.float32), np.zeros(rows, bool)
    state = initial(recipe.init, mesh)

    def scored(kinds: int) -> ScoredBatch:
        labels = devices.put_sharded(np.zeros((*rows, kinds, scores), np.float32), mesh)
        return ScoredBatch(batch.clean, (batch.clean,) * kinds, labels, batch.lengths)

    replayed = 1 + config.replay.clean
    return [
        Program("first", recipe.first_steps, (state, (batch, devices.put_sharded(known, mesh)))),
        Program("discriminator", recipe.discriminator_steps, (state, scored(len(scorer.kinds)))),
        Program("replay", recipe.discriminator_steps, (state, scored(replayed))),
        Program("generator", recipe.generator_steps, (state, batch)),
    ]


def seqgan_programs(config: ConfigDict, mesh: Mesh) -> list[Program]:
    """Returns the programs of all rounds of SeqGAN on an oracle's sequences; no validation."""
    data = config.data
    sequences = np.zeros((data.count, data.length), np.int32)
    corpus = Corpus(sequences, sequences[: data.held_out], data.vocabulary, ends=False)
    system = seqgan.make_system(config, mesh, corpus)
    validation = seqgan.open_validation(config, mesh, corpus)
    recipe = seqgan.SeqGAN(config, system, corpus, validation)
    training, state = recipe.training, initial(recipe.init, mesh)
    rows = training.rows
    generated = sequences[: data.count // config.batch_size * config.batch_size]
    whole = devices.put_replicated((sequences, generated), mesh)
    drawn = np.zeros((config.batch_size, data.length))
    explored = devices.put_sharded((drawn.astype(np.int32), drawn.astype(np.float32)), mesh)
    numbers = devices.put_sharded(np.zeros(len(generated), np.int32), mesh)
    truth = devices.put_replicated(np.float32(1), mesh)
    return [
        Program("likelihood", training.likelihood_steps, (state, rows, whole[0], truth)),
        Program("generate", training.generate, (state, numbers)),
        Program("discriminator", training.discriminator_steps, (state, rows, *whole)),
        Program("start_adversarial", training.start_adversarial, (state,)),
        Program("explore", recipe.explore, (state, rows)),
        Program("policy", training.policy_steps, (state, explored)),
        Program("follow", training.follow, (state,)),
    ]


def image_programs(config: ConfigDict, mesh: Mesh) -> list[Program]:
    """Returns the program of a GAN on drawn images, which moves D and G; no validation."""
    with contextlib.redirect_stdout(sys.stderr):
        recipe = recipes.make(config, mesh)
    assert isinstance(recipe, StepRecipe)
    (batch, *_), _ = recipe._draw(1)
    return [Program("step", recipe._steps, (initial(recipe.init, mesh), batch, *recipe._shared))]


SYSTEMS: dict[str, Callable[[ConfigDict, Mesh], list[Program]]] = {
    "metricgan_plus": metricgan_programs,
    "seqgan": seqgan_programs,
    "dcgan": image_programs,
}
"""For the name of a file in configs/, a function of its config and of the mesh that returns the
programs of a run. It is called, and the programs are lowered, inside `described`."""


def key() -> jax.ShapeDtypeStruct:
    """Describes the key from which a run starts."""
    described_key: jax.ShapeDtypeStruct = jax.eval_shape(lambda: jax.random.key(0))
    return described_key


def initial(init: Callable[[jax.Array], PyTree], mesh: Mesh) -> PyTree:
    """Describes the state before the first update, which every device holds."""
    return devices.put_replicated(jax.eval_shape(init, key()), mesh)


WIDTHS = {"topology": 11, "system": 16, "program": 19}
NUMBERS = {"compile s": ".1f", "memory MB": ".1f", "GFLOP": ".3f", "GB": ".3f", "loops": "d"}
HEAD = "".join(
    [
        *(f"{name:<{width}}" for name, width in WIDTHS.items()),
        *(f"{name:>11}" for name in NUMBERS),
        "  collectives",
    ]
)


def line(row: dict[str, Any]) -> str:
    """Formats the figures of a program."""
    counts = [f"{row[kind]} {kind}" for kind in COLLECTIVES if row[kind]]
    return "".join(
        [
            *(f"{row[name]:<{width}}" for name, width in WIDTHS.items()),
            *(f"{row[name]:>11{form}}" for name, form in NUMBERS.items()),
            "  " + (", ".join(counts) or "none"),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
