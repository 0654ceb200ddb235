"""Tests the compilation for TPUs: for a described TPU if libtpu is installed, else for CPUs."""

import importlib.util
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import tpu_compile
from benchmarks.tpu_compile import Program
from configs import dcgan, metricgan_plus, seqgan
from jaxgan.core import devices
from jaxgan.core.errors import UserError


@pytest.fixture(scope="module")
def mesh():
    """Eight devices: chips that are only described, or simulated ones without libtpu."""
    if importlib.util.find_spec("libtpu"):
        return tpu_compile.topology_mesh("v5e:2x4")
    return devices.make_mesh(8)


def sum_of_rows(mesh, function=lambda x: x):
    """A program that adds up rows over all devices."""
    program = jax.jit(
        lambda x: jnp.sum(function(x), axis=0), out_shardings=devices.replicated(mesh)
    )
    x = jax.ShapeDtypeStruct((16, 4), jnp.float32, sharding=devices.sharded(mesh))
    return Program("sum", program, (x,))


def call_host(x):
    return jax.pure_callback(lambda x: np.asarray(x), x, x)


def test_a_training_step_is_compiled(mesh):
    config = seqgan.get_config("tiny")
    ((name, found, text),) = tpu_compile.compiled("seqgan", config, mesh, ["discriminator"])
    assert name == "discriminator"
    platform = mesh.devices.flat[0].platform
    assert (":T(" in text) == (platform == "tpu")  # the tiles of a TPU's memory
    assert found["all-reduce"] >= 1
    assert found["all-gather"] == 0
    assert found["loops"] >= 1
    assert found["memory MB"] > 0.01
    assert found["GFLOP"] > 1e-6
    assert found["GB"] > 1e-6


def test_the_scores_of_metricgan_plus_do_not_call_the_host(mesh, monkeypatch):
    monkeypatch.setattr(tpu_compile, "SAMPLES", 20 * 256)
    config = metricgan_plus.get_config("tiny")
    config.scoring.where = "host"  # which the function changes
    with tpu_compile.described(mesh):
        programs = tpu_compile.SYSTEMS["metricgan_plus"](config, mesh)
        (first,) = (program for program in programs if program.name == "first")
        text = first.function.lower(*first.arguments).as_text()
    assert "stablehlo.fft" in text
    tpu_compile.refuse_host_calls("first", text)


def test_the_step_of_dcgan_does_not_call_the_host(mesh):
    with tpu_compile.described(mesh):
        (step,) = tpu_compile.SYSTEMS["dcgan"](dcgan.get_config("tiny"), mesh)
        text = step.function.lower(*step.arguments).as_text()
    assert "stablehlo.dot_general" in text
    tpu_compile.refuse_host_calls("step", text)


@pytest.mark.parametrize(
    ("system", "module", "names"),
    [
        (
            "metricgan_plus",
            metricgan_plus,
            ["first", "discriminator", "replay", "generator"],
        ),
        (
            "seqgan",
            seqgan,
            [
                "likelihood",
                "generate",
                "discriminator",
                "start_adversarial",
                "explore",
                "policy",
                "follow",
            ],
        ),
        ("dcgan", dcgan, ["step"]),
    ],
)
def test_nothing_is_placed_on_the_devices(system, module, names, mesh):
    with tpu_compile.described(mesh):
        programs = tpu_compile.SYSTEMS[system](module.get_config("tiny"), mesh)
    assert [program.name for program in programs] == names
    leaves = jax.tree.leaves([program.arguments for program in programs])
    assert {type(leaf) for leaf in leaves} == {jax.ShapeDtypeStruct}
    # Keys are not placed by the caller.
    assert {leaf.sharding.mesh for leaf in leaves if leaf.sharding} == {mesh}


def test_figures_are_those_of_one_device(mesh):
    found, _ = tpu_compile.figures(sum_of_rows(mesh))
    assert found["all-reduce"] == 1
    assert found["loops"] == 0
    # Two rows of four numbers are added up, and then the sums of the devices.
    assert 4e-9 <= found["GFLOP"] <= 100e-9
    assert 32e-6 <= found["memory MB"] <= 1e-2


def test_a_program_that_calls_the_host_is_refused(mesh):
    with pytest.raises(
        UserError, match=r"the program sum calls the host: .*(callback|is_host_transfer)"
    ):
        tpu_compile.figures(sum_of_rows(mesh, call_host))


@pytest.mark.parametrize(
    "text",
    [
        '%1 = stablehlo.custom_call @xla_ffi_python_cpu_callback(%0) {backend_config = ""}',
        '  x = f32[4] custom-call(y), custom_call_target="xla_python_callback"',
        "  s = (f32[4], u32[], token[]) send(x, token), is_host_transfer=true",
        '"stablehlo.send"(%0, %1) <{is_host_transfer = true}> : (tensor<4xf32>)',
        "  i = ((f32[3]), token[]) infeed(token)",
    ],
)
def test_every_call_of_the_host_is_found(text):
    with pytest.raises(UserError, match="the program p calls the host"):
        tpu_compile.refuse_host_calls("p", f"first line\n{text}\nlast line")


def test_other_calls_are_accepted():
    for text in (
        'x = f32[4] custom-call(y), custom_call_target="Sharding", metadata={op_name="callback"}',
        "s = (f32[4], u32[], token[]) send(x, token), is_host_transfer=false",
    ):
        tpu_compile.refuse_host_calls("p", text)


def test_collectives_are_counted_once():
    text = """
    %all-reduce.7 = f32[4]{0} all-reduce(%x), to_apply=%add
    %start = (f32[1], f32[8]) all-gather-start(%y), dimensions={0}
    %done = f32[8] all-gather-done(%start)
    %fusion = f32[8] fusion(%all-gather.1), calls=%all-to-all.3
    """
    counts = tpu_compile.collectives(text)
    assert counts == {
        "all-gather": 1,
        "all-reduce": 1,
        "reduce-scatter": 0,
        "all-to-all": 0,
        "collective-permute": 0,
    }


def test_a_run_that_ends_early_leaves_its_results(mesh, monkeypatch, tmp_path, capsys):
    def programs(config, mesh):
        assert config.batch_size == 3 * mesh.size
        return [sum_of_rows(mesh), sum_of_rows(mesh, call_host)._replace(name="bad")]

    monkeypatch.setattr(tpu_compile, "topology_mesh", lambda name: mesh)
    monkeypatch.setitem(tpu_compile.SYSTEMS, "seqgan", programs)
    file = tmp_path / "figures.json"
    arguments = ["--topology=some", "--system=seqgan", "--rows=3", f"--json={file}"]
    assert tpu_compile.main([*arguments, f"--hlo={tmp_path / 'hlo'}"]) == 2
    captured = capsys.readouterr()
    assert "the program bad calls the host" in captured.err
    head, row = captured.out.splitlines()
    assert head.split()[:3] == ["topology", "system", "program"]
    assert row.split()[:3] == ["some", "seqgan", "sum"]
    assert row.endswith("  1 all-reduce")
    (figures,) = json.loads(file.read_text())
    assert figures["program"] == "sum"
    assert figures["all-reduce"] == 1
    assert " all-reduce(" in (tmp_path / "hlo" / "some-seqgan-sum.txt").read_text()


def test_an_unknown_topology_is_an_error():
    with pytest.raises(UserError, match="--topology=v0:1x1: "):
        tpu_compile.topology_mesh("v0:1x1")
