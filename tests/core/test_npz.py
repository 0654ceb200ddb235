"""Arrays of .npz files that users give, and files that are damaged or too large."""

import io

import numpy as np
import pytest

from jaxgan.core.npz import read_arrays


def packed(compressed=False, **arrays):
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **arrays)
    return file.getvalue()


def test_the_named_arrays_are_read_and_no_others():
    data = packed(a=np.arange(3), b=np.array([None], object))
    found = read_arrays(data, ("a", "absent"))
    assert found.keys() == {"a"}
    np.testing.assert_array_equal(found["a"], np.arange(3))


def test_an_array_that_needs_pickle_is_refused():
    with pytest.raises(ValueError, match="allow_pickle"):
        read_arrays(packed(a=np.array([None], object)), ("a",))


def test_arrays_that_are_too_large_are_refused_before_they_are_unpacked():
    data = packed(compressed=True, a=np.zeros(10_000), b=np.zeros(3))
    assert len(data) < 1000
    with pytest.raises(ValueError, match=r"its arrays take 80\d+ bytes, more than 1000"):
        read_arrays(data, ("a", "b"), 1000)
    assert read_arrays(data, ("b",), 1000)["b"].shape == (3,)


def test_any_damage_is_reported_in_one_line():
    single = io.BytesIO()
    np.save(single, np.zeros(3))
    good = packed(compressed=True, a=np.random.default_rng(0).normal(size=500))
    damaged = [b"", b"text", single.getvalue(), good[:-99]]
    # Any byte: of the stream (zlib.error), of the method of compression (NotImplementedError), ...
    damaged += [good[:at] + bytes([good[at] ^ 0xFF]) + good[at + 1 :] for at in range(300)]
    messages = []
    for data in damaged:
        try:
            read_arrays(data, ("a",))
        except ValueError as error:
            messages.append(str(error))
    assert len(messages) > 200
    assert all(messages)
    assert not any("\n" in message for message in messages)
