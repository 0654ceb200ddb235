"""The oracle of SeqGAN's experiment: a language model with random parameters that draws the data.

Its parameters are drawn from a seed or read from a user's file: a pickle in the authors' layout, or
an .npz file.
"""

import io
import pickle
from collections.abc import Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from jaxgan.core.errors import UserError
from jaxgan.core.importing import one_line
from jaxgan.core.npz import read_arrays
from jaxgan.core.state import PyTree
from jaxgan.sequences.networks.language_model import LanguageModel

NAMES = (
    "embedding",
    "kernel",
    "recurrent_kernel",
    "bias",
    "output_kernel",
    "output_bias",
)
GATES = ("input", "forget", "output", "cell")
ARRAYS = (
    "embedding",
    *(f"{part}_{gate}" for gate in GATES for part in ("kernel", "recurrent", "bias")),
    "logits_kernel",
    "logits_bias",
)
"""The authors' parameters in their order: [V, E]; of each gate [E, H], [H, H], [H]; [H, V]; [V]."""


def draw_oracle(model: LanguageModel, seed: int) -> PyTree:
    """Returns parameters drawn from N(0, 1), the same for a seed on every machine."""
    variables = model.init(jax.random.key(seed), jnp.zeros((1, 1), jnp.int32))
    return jax.device_get(variables["params"])


LARGEST_BYTES = 2**28
"""Limit of the size of an oracle's arrays. The published one, with 5000 tokens and 32 units, takes
1.3 MB."""


def read_oracle(path: epath.PathLike) -> PyTree:
    """Returns the parameters of a `LanguageModel` from a file.

    Args:
        path: NAME.npz with the arrays of `ARRAYS` by name, or, under any other name, a pickle of a
            list of these arrays, written by Python 2 or 3. Only arrays are unpickled.

    Raises:
        UserError: the file cannot be read, holds anything else, or its shapes do not match.
    """
    file = epath.Path(path)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UserError(f"config.data.oracle={path} cannot be read ({error})") from error
    try:
        arrays = _joined(_read_npz(data) if file.suffix == ".npz" else _Arrays(data).load())
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"config.data.oracle={path} cannot be read as arrays ({one_line(error)})"
        ) from error
    params = {name: np.asarray(array, np.float32) for name, array in arrays.items()}
    _check(params, path)
    return params


class _Arrays(pickle._Unpickler):
    """Reads NumPy arrays and refuses everything else that a pickle can contain.

    The unpickler in C takes gigabytes for a memo with one entry of a large number. This one, in
    Python, does so only for a bytearray, which no array needs.
    """

    dispatch: ClassVar[dict[int, Any]] = {
        opcode: load
        for opcode, load in pickle._Unpickler.dispatch.items()
        if opcode != pickle.BYTEARRAY8[0]
    }

    _ALLOWED = frozenset(
        {
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("_codecs", "encode"),
        }
    )

    def __init__(self, data: bytes) -> None:
        # Pickles of Python 2 hold the bytes of the arrays as strings.
        super().__init__(io.BytesIO(data), encoding="latin1")

    def find_class(self, module: str, name: str) -> Any:
        """Returns a part of an array; raises UnpicklingError for anything else."""
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not part of an array: refused")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def _read_npz(data: bytes) -> list[np.ndarray]:
    arrays = read_arrays(data, ARRAYS, LARGEST_BYTES)
    missing = [name for name in ARRAYS if name not in arrays]
    if missing:
        raise ValueError(f"it lacks {', '.join(missing)}")
    return [arrays[name] for name in ARRAYS]


def _joined(arrays: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the parameters of a `LanguageModel`, which has one array for all gates."""
    if not isinstance(arrays, list) or len(arrays) != len(ARRAYS):
        raise ValueError(f"expected a list of {len(ARRAYS)} arrays")
    if not all(isinstance(a, np.ndarray) and a.dtype.kind == "f" for a in arrays):
        raise ValueError("expected arrays of floats")
    size = sum(array.nbytes for array in arrays)
    if size > LARGEST_BYTES:
        raise ValueError(f"its arrays take {size} bytes, more than {LARGEST_BYTES}")
    gates = [arrays[1 + 3 * gate : 4 + 3 * gate] for gate in (0, 1, 3, 2)]  # i, f, cell, output
    joined = [np.concatenate(parts, axis=-1) for parts in zip(*gates, strict=True)]
    return dict(zip(NAMES, (arrays[0], *joined, *arrays[-2:]), strict=True))


def _check(params: dict[str, np.ndarray], path: epath.PathLike) -> None:
    vocabulary, embedding = np.shape(params["embedding"])[:2] or (0, 0)
    hidden = len(params["recurrent_kernel"])
    expected = {
        "embedding": (vocabulary, embedding),
        "kernel": (embedding, 4 * hidden),
        "recurrent_kernel": (hidden, 4 * hidden),
        "bias": (4 * hidden,),
        "output_kernel": (hidden, vocabulary),
        "output_bias": (vocabulary,),
    }
    for name, shape in expected.items():
        if params[name].shape != shape:
            raise UserError(
                f"config.data.oracle={path}: {name} has the shape {list(params[name].shape)}, "
                f"and the other arrays need {list(shape)}"
            )
        if not np.isfinite(params[name]).all():
            raise UserError(f"config.data.oracle={path}: {name} holds numbers that are not finite")
