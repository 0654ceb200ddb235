"""Loads and evaluates a run that learned from chess games."""

from collections.abc import Callable

import jax
import numpy as np
from etils import epath
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.control.chess.dataset import TEST, open_dataset
from jaxgan.control.chess.measures import Judge, Networks, by_game
from jaxgan.control.chess.positions import SQUARES
from jaxgan.control.chess.settings import CHOICES, RANGES
from jaxgan.core import config as configs
from jaxgan.core import devices
from jaxgan.core.command import refuse_flags
from jaxgan.core.files import absolute, check_same_data, writable
from jaxgan.core.players import deploy, load_players
from jaxgan.core.recipe import Declaration, EvaluationRequest, Recipe
from jaxgan.core.state import Players
from jaxgan.reporting.summary import destination, report
from jaxgan.reporting.tables import write_csv

GAMES = "games.csv"
EVALUATED_POSITIONS = 5000
"""The most positions of the player in which eval.py values all legal moves."""


MakeNetworks = Callable[[ConfigDict], Networks]


def declare(make: Callable[[ConfigDict, Mesh], Recipe], make_networks: MakeNetworks) -> Declaration:
    """Returns the declaration of a system that learned from chess games.

    Args:
        make: makes the recipe.
        make_networks: (config) -> the networks, as they are applied.
    """

    def evaluate(workdir: epath.PathLike, checkpoint: str, request: EvaluationRequest) -> None:
        refuse_flags("a run on chess games has one seed", seed_index=request.seed_index or None)
        measured = "a run on chess games is measured on the games that it held out"
        refuse_flags(measured, data=request.data, scores=request.scores or None)
        folder, mesh = absolute(workdir), devices.make_mesh()
        config = configs.read(folder)
        networks, players = load_trained(folder, config, checkpoint, make_networks, mesh)
        dataset = open_dataset(config)
        check_same_data(folder, dataset.files)
        data = dataset.games.place(mesh)
        judge = Judge(networks, dataset, data, TEST, EVALUATED_POSITIONS, mesh)
        found, style = judge(players)()
        scores, own = by_game(style, judge.moves)
        numbers, counts = np.unique(judge.moves.games, return_counts=True)
        names = {
            "game": [str(dataset.games.digests[number]) for number in numbers],
            "white": [str(dataset.games.players[number, 0]) for number in numbers],
            "black": [str(dataset.games.players[number, 1]) for number in numbers],
        }
        output = destination(folder, request.output)
        with writable(output):
            output.mkdir(parents=True, exist_ok=True)
            columns = {"own": own.astype(np.int64), "moves": counts, "style": scores}
            write_csv(output / GAMES, names, columns)
        report(folder, request.output, len(numbers), found)

    return Declaration(make, evaluate=evaluate)


def load_trained(
    folder: epath.Path,
    config: ConfigDict,
    checkpoint: str,
    make_networks: MakeNetworks,
    mesh: Mesh,
) -> tuple[Networks, Players]:
    """Returns the networks of a run, and its trained players on the devices.

    Args:
        folder: the folder of the run.
        config: the config of the run.
        checkpoint: best, last or a round.
        make_networks: (config) -> the networks, as they are applied.
        mesh: the devices.

    Raises:
        UserError: there is no such checkpoint, or it does not fit the config.
    """
    configs.check_values(config, CHOICES, RANGES)
    players = deploy(load_players(folder, checkpoint), mesh)
    board = jax.ShapeDtypeStruct((1, SQUARES), np.uint8)
    following = jax.ShapeDtypeStruct((1, 1, SQUARES), np.uint8)
    with configs.fits(folder):
        networks = make_networks(config)
        jax.eval_shape(networks.value, players, board)
        jax.eval_shape(networks.judge, players, board, following)
    return networks, players
