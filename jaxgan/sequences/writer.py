"""Continues text or handwriting, or writes a given text, in memory."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from etils import epath
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core import config as configs
from jaxgan.core import devices
from jaxgan.core.arguments import check_positive, whole_number
from jaxgan.core.command import refuse_flags
from jaxgan.core.errors import UserError
from jaxgan.core.files import absolute
from jaxgan.core.players import load_players
from jaxgan.core.recipe import SampleRequest
from jaxgan.core.state import PyTree
from jaxgan.sequences.data import vocabulary as vocabularies
from jaxgan.sequences.data.handwriting import read_strokes
from jaxgan.sequences.data.stream_corpora import TEXTS, read_unit, to_values
from jaxgan.sequences.data.streams import Item
from jaxgan.sequences.data.vocabulary import Vocabulary
from jaxgan.sequences.evaluation.streams import StreamSampler

MakeSampler = Callable[[ConfigDict, Vocabulary], StreamSampler]


class Writer:
    """Draws from a trained network of long sequences. `jaxgan.load` makes one.

    Args:
        workdir: the run's folder.
        checkpoint: "best", "last" or a round.
        make_sampler: (config, vocabulary) -> what draws.

    Attributes:
        is_text: whether it writes text; otherwise it is handwriting.
        unit: how many units of the data an offset of 1 is; 1 for text.
    """

    def __init__(self, workdir: epath.PathLike, checkpoint: str, make_sampler: MakeSampler) -> None:
        folder = absolute(workdir)
        self._config = configs.read(folder)
        with configs.fits(folder):
            self._sampler = make_sampler(self._config, vocabularies.read(folder))
        self._params = load_network(folder, checkpoint, devices.make_mesh(), self._sampler)
        self.is_text = self._config.data.kind in TEXTS
        self.unit = read_unit(folder)

    def __call__(
        self,
        count: int,
        seed: int = 0,
        label: None = None,
        *,
        text: str | None = None,
        temperature: float | None = None,
        prime: str | None = None,
        bias: float | None = None,
    ) -> list[Any]:
        """Returns what sample.py writes: `count` strings of text, or lines of handwriting.

        The same arguments give the same samples.

        Args:
            count: how many, at least 1.
            seed: the seed of the draw.
            label: must be None, since these networks have no classes.
            text: as in `SampleRequest`.
            temperature: text only; see `SampleRequest`.
            prime: handwriting only; see `SampleRequest`.
            bias: handwriting only; see `SampleRequest`.

        Returns:
            Strings, or float32 [n, 3] each: the offset x, y from the point before, in the units of
            the data, and 1 where the pen is lifted after the point.

        Raises:
            UserError: an argument cannot be used; the message says why.
        """
        count, seed = whole_number("count", count, 1), whole_number("seed", seed)
        if temperature is not None:
            check_positive("temperature", temperature)
        if bias:
            check_positive("bias", bias)
        request = SampleRequest(
            count, seed, None, temperature, label, text=text, prime=prime, bias=bias
        )
        found = self.draw(request)
        if self.is_text:
            return found
        scale = np.array([self.unit, self.unit, 1], np.float32)
        return [sample * scale for sample in found]

    def draw(self, request: SampleRequest) -> list[Any]:
        """Returns the strings or the lines of handwriting, [n, 3] each, that are asked for.

        The offsets of handwriting are in standard deviations of the training data.

        Raises:
            UserError: the request has an option that this network does not support.
        """
        known = "generators of text and handwriting have no classes and do not interpolate"
        refuse_flags(known, label=request.label, interpolate=request.interpolate)
        if self.is_text:
            refuse_flags("only handwriting uses this flag", prime=request.prime, bias=request.bias)
            setting = 1.0 if request.temperature is None else request.temperature
            start = self._sampler.start()
            if request.text:
                start = Item(self._numbers(request.text, "--text") - 1)
            beginnings = [start] * request.count
        else:
            refuse_flags("handwriting uses --bias instead", temperature=request.temperature)
            setting = request.bias or 0.0
            beginnings = self._starts_of_handwriting(request)
        key, length = jax.random.key(request.seed), self._config.validation.length
        samples = self._sampler.draw(self._params, key, beginnings, length, setting)
        if not self.is_text:
            return samples
        # A sample that continues nothing starts with a new line.
        first = 0 if request.text else 1
        return [self._sampler.text_of(sample[first:]) for sample in samples]

    def _numbers(self, text: str, flag: str) -> np.ndarray:
        """Returns the numbers of the characters of a text, from 1: int32 [n].

        Raises:
            UserError: the run has never seen one of them; the message names the flag.
        """
        tokens = self._sampler.vocabulary.tokens
        unknown = sorted(set(text) - set(tokens))
        if unknown:
            raise UserError(
                f"{flag}: the run has not learned the character {unknown[0]!r}; it knows "
                f"{''.join(tokens)!r}"
            )
        return np.array([tokens.index(character) + 1 for character in text], np.int32)

    def _starts_of_handwriting(self, request: SampleRequest) -> list[Item]:
        """Returns what the flags --prime and --text ask to continue and to write.

        With both, the window reads the text of the beginning and then that of the flag.
        """
        wanted = self._numbers(request.text or "", "--text")
        if request.text and not self._config.window:
            raise UserError(
                f"--text={request.text}: this network does not read text; leave --text out"
            )
        beginnings = [self._sampler.start()]
        if request.prime:
            lines = read_strokes(request.prime, "--prime=")[: request.count]
            if self._config.window and not all(line.text for line in lines):
                raise UserError(
                    f"--prime={request.prime}: its lines have no text, which the window reads"
                )
            flag = f"--prime={request.prime}"
            beginnings = [
                Item(
                    to_values(line.points, self.unit),
                    self._numbers(line.text if self._config.window else "", flag),
                )
                for line in lines
            ]
        if self._config.window and not request.text:
            raise UserError("--text: give the text to write")
        beginnings = [
            item._replace(text=np.concatenate([item.text, wanted])) if self._config.window else item
            for item in beginnings
        ]
        return [beginnings[row % len(beginnings)] for row in range(request.count)]


def load_network(folder: epath.Path, checkpoint: str, mesh: Mesh, sampler: StreamSampler) -> PyTree:
    """Returns the parameters of a run's network, on the devices.

    Raises:
        UserError: there is no such checkpoint, or its network is not the one that the run's config
            describes and the sampler draws from.
    """
    params = load_players(folder, checkpoint)["network"].deployed
    with configs.fits(folder):
        sampler.check(params)
    return devices.put_replicated(params, mesh)
