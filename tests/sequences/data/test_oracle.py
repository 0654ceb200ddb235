import io
import os
import pickle
import tracemalloc

import jax
import numpy as np
import pytest

from jaxgan.core.errors import UserError
from jaxgan.sequences.data import oracle
from jaxgan.sequences.data.oracle import ARRAYS, NAMES, _Arrays, draw_oracle, read_oracle
from jaxgan.sequences.networks.language_model import LanguageModel

V, E, H = 7, 3, 4


def authors_arrays(seed=0):
    random = np.random.default_rng(seed)
    gate = [(E, H), (H, H), (H,)]
    shapes = [(V, E), *gate * 4, (H, V), (V,)]
    return [random.normal(size=shape).astype(np.float32) for shape in shapes]


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_the_authors_layout_is_read(tmp_path, protocol):
    arrays = authors_arrays()
    path = tmp_path / "target_params.pkl"
    path.write_bytes(pickle.dumps(arrays, protocol=protocol))
    params = read_oracle(path)
    assert set(params) == set(NAMES)
    np.testing.assert_array_equal(params["embedding"], arrays[0])
    # The file has the gates input, forget, output, cell.
    order = [0, 1, 3, 2]
    kernel = np.concatenate([arrays[1 + 3 * gate] for gate in order], axis=1)
    np.testing.assert_array_equal(params["kernel"], kernel)
    bias = np.concatenate([arrays[3 + 3 * gate] for gate in order])
    np.testing.assert_array_equal(params["bias"], bias)
    np.testing.assert_array_equal(params["output_bias"], arrays[-1])
    tokens = np.zeros((2, 3), np.int32)
    LanguageModel(V, E, H).apply({"params": params}, tokens)


def test_a_python_2_string_is_read(tmp_path):
    """An array as numpy wrote it under Python 2: its bytes are a plain string."""
    array = np.array([1.5, -2.0], np.float32)
    stream = io.BytesIO()
    stream.write(b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR")
    stream.write(b"(I1\n(I2\ntcnumpy\ndtype\n(S'f4'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntb")
    stream.write(b"I00\nS" + repr(array.tobytes())[1:].encode() + b"\ntb.")
    path = tmp_path / "one.pkl"
    path.write_bytes(stream.getvalue())
    with pytest.raises(UserError, match="expected a list of 15 arrays"):
        read_oracle(path)
    np.testing.assert_array_equal(_Arrays(stream.getvalue()).load(), array)


class Malicious:
    def __reduce__(self):
        return os.system, ("touch {}",)


@pytest.mark.parametrize("protocol", [0, 2, 5])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_malicious_pickle_is_refused_and_nothing_runs(tmp_path, monkeypatch, protocol, wrapped):
    ran = []
    monkeypatch.setattr(os, "system", ran.append)
    value = [*authors_arrays()[:-1], Malicious()] if wrapped else Malicious()
    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    with pytest.raises(UserError, match=r"evil\.pkl cannot be read as arrays .*: refused"):
        read_oracle(path)
    assert ran == []


def test_an_array_of_objects_cannot_smuggle_anything_in(tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(os, "system", ran.append)
    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps([np.array([Malicious()], object)]))
    with pytest.raises(UserError, match="refused"):
        read_oracle(path)
    np.savez(tmp_path / "evil.npz", **dict.fromkeys(ARRAYS, np.array([Malicious()], object)))
    with pytest.raises(UserError, match="allow_pickle"):
        read_oracle(tmp_path / "evil.npz")
    assert ran == []


def test_npz_files_hold_the_same_arrays_by_name(tmp_path):
    arrays = dict(zip(ARRAYS, authors_arrays(), strict=True))
    (tmp_path / "oracle.pkl").write_bytes(pickle.dumps(list(arrays.values())))
    np.savez(tmp_path / "oracle.npz", **arrays)
    read, unpickled = (read_oracle(tmp_path / f"oracle.{kind}") for kind in ("npz", "pkl"))
    jax.tree.map(np.testing.assert_array_equal, read, unpickled)
    np.savez(tmp_path / "less.npz", embedding=arrays["embedding"])
    with pytest.raises(UserError, match="it lacks kernel_input"):
        read_oracle(tmp_path / "less.npz")
    np.savez(tmp_path / "odd.npz", **{**arrays, "bias_cell": arrays["bias_cell"][:-1]})
    with pytest.raises(
        UserError, match=r"bias has the shape \[15\], and the other arrays need \[16\]"
    ):
        read_oracle(tmp_path / "odd.npz")
    with pytest.raises(UserError, match=r"no\.npz cannot be read"):
        read_oracle(tmp_path / "no.npz")


def test_arrays_that_are_too_large_are_refused_before_they_are_unpacked(tmp_path, monkeypatch):
    arrays = dict(zip(ARRAYS, authors_arrays(), strict=True))
    np.savez_compressed(tmp_path / "a.npz", **{**arrays, "embedding": np.zeros((1000, 1000))})
    monkeypatch.setattr(oracle, "LARGEST_BYTES", 2**22)
    tracemalloc.start()
    with pytest.raises(UserError, match=r"its arrays take 8\d{6} bytes, more than 4194304"):
        read_oracle(tmp_path / "a.npz")
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_the_drawn_oracle_is_normal_and_the_same_again():
    model = LanguageModel(500, 32, 32, 1.0)
    one, other = draw_oracle(model, 0), draw_oracle(model, 0)
    jax.tree.map(np.testing.assert_array_equal, one, other)
    for leaf in jax.tree.leaves(one):
        assert leaf.std() == pytest.approx(1.0, abs=0.15)
    assert not np.array_equal(one["embedding"], draw_oracle(model, 1)["embedding"])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            b"\x80\x02]r\xff\xff\xff\x7f.",
            "expected a list of 15 arrays",
        ),  # one entry, number 2**31 - 1
        (b"\x80\x05\x96\x00\x00\x00\x00\x02\x00\x00\x00.", "KeyError"),  # a bytearray of 8 GiB
        (b"", "EOFError"),
        (b"\x80\x04\x95", "unpack requires a buffer of 8 bytes"),
        (pickle.dumps(np.ndarray)[:-1] + b"(J\x00\x00\x00\x7ftR.", "expected a list"),
    ],
)
def test_a_pickle_that_asks_for_memory_is_refused_with_a_reason(tmp_path, content, reason):
    path = tmp_path / "memo.pkl"
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(UserError, match=rf"memo\.pkl cannot be read as arrays \(.*{reason}"):
        read_oracle(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # NumPy's array of zeros or of nothing takes no memory until it is used.
    assert peak < 2**20 or reason == "expected a list"
