"""Enhances raw samples from one pipe to another as they arrive."""

import os
import sys
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from jaxgan.core.errors import UserError
from jaxgan.speech.arrays import ArrayEnhancer, Stream
from jaxgan.speech.data.audio import SAMPLE_RATE
from jaxgan.speech.enhancer import Enhancer

SAMPLE = np.dtype("<i2")
"""The type of a raw sample: signed 16 bits, little-endian."""


def enhance_stream(enhancer: Enhancer, name: str) -> None:
    """Enhances standard input to standard output; both are raw `SAMPLE`s, mono at 16000 Hz.

    The output has as many samples as the input, and is written after every hop. A line on standard
    error says when the stream is ready, and its latency; another one says what ended it early. A
    reader that closes standard output ends the stream like the end of the input.

    Args:
        enhancer: a trained enhancer.
        name: the name of the run, for a message.

    Raises:
        UserError: the network needs whole recordings, or standard input or output is a terminal.
        KeyboardInterrupt: Ctrl-C, after what was received has been written.
    """
    for file, what in ((sys.stdin, "input"), (sys.stdout, "output")):
        if file.isatty():
            raise UserError(f"--stream: standard {what} is a terminal; connect a pipe or a file")
    try:
        stream = ArrayEnhancer(enhancer).stream()
    except UserError as error:
        raise UserError(f"{name}: {error}") from error
    hop = enhancer.front_end.hop
    say(
        f"streaming: {SAMPLE_RATE} Hz, mono, signed 16-bit little-endian; algorithmic latency "
        f"{1000 * stream.latency / SAMPLE_RATE:.0f} ms ({stream.latency} samples, one window)"
    )
    try:
        run(stream, sys.stdin.buffer, sys.stdout.buffer, hop)
    except BrokenPipeError:
        discard_output()
        say("the reader closed standard output; stopped")


def run(stream: Stream, source: BinaryIO, target: BinaryIO, hop: int) -> None:
    """Enhances everything that `source` gives, and writes what is complete after every hop.

    Raises:
        BrokenPipeError: the target is closed.
        KeyboardInterrupt: Ctrl-C, after what was received has been written.
    """

    def write(samples: np.ndarray) -> None:
        if len(samples):
            target.write(samples.astype(SAMPLE).tobytes())
            target.flush()

    try:
        for samples in read(source, hop):
            write(stream.push(samples))
    except KeyboardInterrupt:
        # Ctrl-C in a terminal ends all programs of a pipeline.
        try:
            write(stream.finish())
        except BrokenPipeError:
            discard_output()
        raise
    write(stream.finish())


def read(source: BinaryIO, hop: int) -> Iterator[np.ndarray]:
    """Yields int16 samples [n], n <= hop, as soon as the source gives them."""
    size = SAMPLE.itemsize
    rest = b""
    while data := source.read1(hop * size - len(rest)):  # type: ignore[attr-defined]
        data = rest + data
        whole = len(data) // size * size
        rest = data[whole:]
        yield np.frombuffer(data[:whole], SAMPLE).astype(np.int16)
    if rest:
        say("standard input ends within a sample; its last byte was left out")


def discard_output() -> None:
    """Connects standard output to nothing, since Python flushes it once more at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(line: str) -> None:
    """Prints a line on standard error."""
    print(line, file=sys.stderr, flush=True)
