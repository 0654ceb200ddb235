"""Downloads published data sets of images and checks them.

    python -m jaxgan.images.download NAME DIR

NAME is mnist (12 MB), fashion_mnist (31 MB) or cifar10 (170 MB, 184 MB unpacked). The same command
continues an interrupted download. Then train with --config.data.kind=NAME --config.data.root=DIR.
"""

from jaxgan.core import signals

INTERRUPTED = "interrupted; the same command continues from here"
if __name__ == "__main__":
    signals.leave_at_once(INTERRUPTED)

import argparse
import sys
import tarfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from rich.progress import Progress

from jaxgan.core import command
from jaxgan.core.checksums import digest
from jaxgan.core.download import fetch, progress_bars
from jaxgan.core.errors import UserError
from jaxgan.images.data import cifar


class Source(NamedTuple):
    """Where a data set is published.

    Attributes:
        mirrors: base URLs, tried in this order.
        files: the SHA-256 of each file.
        unpack: (archive, folder) unpacks the only file, which is then deleted; None for files that
            are used as they are.
        unpacked: the names of what it unpacks.
    """

    mirrors: Sequence[str]
    files: Mapping[str, str]
    unpack: Callable[[Path, Path], None] | None = None
    unpacked: Sequence[str] = ()


def download(source: Source, folder: Path, progress: Progress) -> None:
    """Downloads and checks the files that the folder lacks.

    Args:
        source: the source of the data set.
        folder: is created if it does not exist.
        progress: gets one bar per file.

    Raises:
        UserError: no mirror delivers a file as published, a file that exists differs from it, or
            the disk cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be created: {error.strerror}") from error
    if source.unpack and all((folder / name).is_file() for name in source.unpacked):
        return
    for name, sha256 in source.files.items():
        target = folder / name
        if not target.exists():
            _fetch_from_any(source.mirrors, target, progress, sha256)
        elif digest(target) != sha256:
            raise UserError(
                f"{target} differs from the published file: remove it and run the same command "
                "again"
            )
        if source.unpack:
            source.unpack(target, folder)
            target.unlink()


def _fetch_from_any(mirrors: Sequence[str], target: Path, progress: Progress, sha256: str) -> None:
    """Downloads a file from the first mirror that delivers it; raises the last one's error."""
    *others, last = (f"{mirror.rstrip('/')}/{target.name}" for mirror in mirrors)
    for url in others:
        try:
            return fetch(url, target, progress, sha256)
        except UserError as error:
            print(f"{error}; trying another server", file=sys.stderr)
    return fetch(last, target, progress, sha256)


def unpack_cifar10(archive: Path, folder: Path) -> None:
    """Unpacks the binary files of CIFAR-10; each appears under its name once it is complete.

    Raises:
        UserError: the archive is damaged or lacks a file, or the folder cannot be written.
    """
    wanted = set(CIFAR10_FILES)
    try:
        with tarfile.open(archive, "r:gz") as source:
            for member in source:
                # Without its folders, so that no name in the archive points outside of `folder`.
                name = PurePosixPath(member.name).name
                content = source.extractfile(member) if name in wanted else None
                if content is not None:
                    part = folder / f"{name}.part"
                    part.write_bytes(content.read())
                    part.replace(folder / name)
                    wanted.remove(name)
    except (tarfile.TarError, zlib.error, EOFError) as error:
        raise UserError(f"{archive} is damaged ({error}): remove it") from error
    except OSError as error:
        raise UserError(f"{folder} cannot be unpacked: {error.strerror or error}") from error
    if wanted:
        raise UserError(f"{archive} lacks {', '.join(sorted(wanted))}: remove it")


CIFAR10_FILES = (*cifar.TRAIN, *cifar.TEST)
SOURCES = {
    "mnist": Source(
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist",
            "https://storage.googleapis.com/cvdf-datasets/mnist",
        ),
        files={
            "train-images-idx3-ubyte.gz": (
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
            ),
            "train-labels-idx1-ubyte.gz": (
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
            ),
            "t10k-images-idx3-ubyte.gz": (
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
            ),
            "t10k-labels-idx1-ubyte.gz": (
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
            ),
        },
    ),
    "fashion_mnist": Source(
        mirrors=(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
        ),
        files={
            "train-images-idx3-ubyte.gz": (
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"
            ),
            "train-labels-idx1-ubyte.gz": (
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"
            ),
            "t10k-images-idx3-ubyte.gz": (
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"
            ),
            "t10k-labels-idx1-ubyte.gz": (
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"
            ),
        },
    ),
    "cifar10": Source(
        mirrors=("https://www.cs.toronto.edu/~kriz",),
        files={
            "cifar-10-binary.tar.gz": (
                "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
            )
        },
        unpack=unpack_cifar10,
        unpacked=CIFAR10_FILES,
    ),
}
"""By `config.data.kind`. The checksums are those of TensorFlow Datasets."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Downloads a data set and returns 0, 2 after a user error, or 130 if interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m jaxgan.images.download",
        description="Downloads a data set of images and checks it; resumes if interrupted.",
    )
    parser.add_argument("name", choices=tuple(SOURCES), metavar="NAME", help=", ".join(SOURCES))
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--base-url", help="another URL with the same files")
    options = parser.parse_args(arguments)
    source = SOURCES[options.name]
    if options.base_url:
        source = source._replace(mirrors=(options.base_url,))

    def action() -> None:
        with progress_bars() as progress:
            download(source, options.folder, progress)
        print(f"{options.name} is in {options.folder}")

    return command.run(action, INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
