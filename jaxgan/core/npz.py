"""Reads .npz files that a user gives: nothing is unpickled, and the size is checked first."""

import io
import zipfile
from collections.abc import Collection

import numpy as np

LARGEST_BYTES = 2**32
"""The default limit of the size of all arrays that are read together."""


def read_arrays(
    data: bytes, names: Collection[str], largest: int = LARGEST_BYTES
) -> dict[str, np.ndarray]:
    """Returns those of the named arrays that a file has.

    Args:
        data: the content of the file. NumPy does not close a damaged file that it has opened
            itself, so it is not given a path.
        names: the arrays to read; others are not unpacked.
        largest: the most bytes that these arrays may take together.

    Raises:
        ValueError: the data are not an .npz file, damaged or too large, or an array needs pickle;
            the message says why in one line.
    """
    try:
        opened = np.load(io.BytesIO(data), allow_pickle=False)
        if not isinstance(opened, np.lib.npyio.NpzFile):
            raise ValueError("it holds a single array")
        with opened as file, zipfile.ZipFile(io.BytesIO(data)) as archive:
            present = [name for name in names if name in file.files]
            # A compressed file may be a thousand times smaller than its arrays.
            size = sum(archive.getinfo(f"{name}.npy").file_size for name in present)
            if size > largest:
                raise ValueError(f"its arrays take {size} bytes, more than {largest}")
            return {name: file[name] for name in present}
    except Exception as error:  # zipfile, zlib and NumPy have many errors for damaged files
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error
