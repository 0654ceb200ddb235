import logging

import jax
import jax.numpy as jnp
import pytest

from jaxgan.nn.cpu import native

TWICE = """
#include "xla/ffi/api/ffi.h"
namespace ffi = xla::ffi;
static ffi::Error twice(ffi::Buffer<ffi::F32> x, ffi::Result<ffi::Buffer<ffi::F32>> y) {
  for (size_t i = 0; i < x.element_count(); ++i) y->typed_data()[i] = 2 * x.typed_data()[i];
  return ffi::Error::Success();
}
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    Twice, twice, ffi::Ffi::Bind().Arg<ffi::Buffer<ffi::F32>>().Ret<ffi::Buffer<ffi::F32>>());
"""


@pytest.fixture
def source(tmp_path, monkeypatch):
    native._warn.cache_clear()
    monkeypatch.setenv("JAXGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CXX", raising=False)
    file = tmp_path / "twice.cc"
    file.write_text(TWICE)
    return file


def check_twice(name):
    x = jnp.arange(3.0)
    assert (jax.ffi.ffi_call(name, jax.typeof(x))(x) == 2 * x).all()


def test_functions_are_compiled_once_and_can_be_called(source, tmp_path, monkeypatch):
    assert native.register(source, ("Twice",))
    check_twice("Twice")
    (cached,) = (tmp_path / "cache" / "native").rglob("*.so")
    # Another process finds the library and needs no compiler.
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert native.library(source, tmp_path) == cached


def test_an_unwritable_cache_costs_only_the_copy(source, tmp_path, caplog):
    (tmp_path / "cache").write_text("a file in the place of the folder")
    # XLA keeps one function of each name.
    source.write_text(TWICE.replace("Twice", "TwiceUncached"))
    with caplog.at_level(logging.WARNING):
        assert native.register(source, ("TwiceUncached",))
    check_twice("TwiceUncached")
    assert "compiler" not in caplog.text
    assert "C++" not in caplog.text


@pytest.mark.parametrize(
    ("mistake", "reason"),
    [
        ("compiler", "no-such-compiler"),
        ("none", "found no C++ compiler (c++, g++, clang++)"),
        ("code", "error"),
        ("hang", "timed out"),
    ],
)
def test_a_failure_is_reported_once(source, monkeypatch, caplog, mistake, reason):
    if mistake == "compiler":
        monkeypatch.setenv("CXX", "no-such-compiler")
    elif mistake == "none":
        monkeypatch.setenv("PATH", str(source.parent))
    elif mistake == "hang":
        compiler = source.with_name("sleeper")
        compiler.write_text("#!/bin/sh\nexec sleep 60\n")
        compiler.chmod(0o755)
        monkeypatch.setenv("CXX", str(compiler))
        monkeypatch.setattr(native, "TIMEOUT_SECONDS", 0.5)
    else:
        source.write_text("this is not C++;")
    with caplog.at_level(logging.WARNING):
        assert not native.register(source, ("Twice",))
        assert not native.register(source, ("Twice",))
    assert reason in caplog.text
    assert caplog.text.count("several times longer") == 1
    assert "without a cache" not in caplog.text
