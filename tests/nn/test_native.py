import logging

import jax
import jax.numpy as jnp
import pytest

from jaxgan.nn import native

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


def libraries(source):
    return list((source.parent / "cache" / "native").rglob("*.so"))


def test_functions_are_compiled_once_and_can_be_called(source, monkeypatch):
    assert native.register(source, ("Twice",))
    assert len(libraries(source)) == 1
    x = jnp.arange(3.0)
    assert (jax.ffi.ffi_call("Twice", jax.typeof(x))(x) == 2 * x).all()
    # Another process finds the library, and asks for no compiler.
    monkeypatch.setenv("CXX", "there-is-no-such-compiler")
    assert native.library(source) in libraries(source)


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        ("compiler", "there-is-no-such-compiler"),
        ("none", "none of c++, g++, clang++ is there"),
        ("code", "error"),
        ("hang", "timed out"),
        ("place", "cannot"),
    ],
)
def test_what_cannot_be_compiled_is_told_once(source, monkeypatch, caplog, mistake, told):
    if mistake == "compiler":
        monkeypatch.setenv("CXX", "there-is-no-such-compiler")
    elif mistake == "none":
        monkeypatch.setenv("PATH", str(source.parent))
    elif mistake == "hang":
        compiler = source.with_name("sleeper")
        compiler.write_text("#!/bin/sh\nexec sleep 60\n")
        compiler.chmod(0o755)
        monkeypatch.setenv("CXX", str(compiler))
        monkeypatch.setattr(native, "PATIENCE_SECONDS", 0.5)
    elif mistake == "code":
        source.write_text("this is no C++;")
    else:
        source.parent.joinpath("cache").write_text("a file where a folder is wanted")
    with caplog.at_level(logging.WARNING):
        assert not native.register(source, ("Twice",))
        assert not native.register(source, ("Twice",))
    assert told in caplog.text
    assert caplog.text.count("up to three times longer") == 1
