"""How well a trained network ranks the moves of a player, and recognises the player by them."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from scipy.stats import rankdata

from jaxgan.control.chess.dataset import Dataset, Moves
from jaxgan.control.chess.games import Resident
from jaxgan.control.chess.positions import after
from jaxgan.core import devices
from jaxgan.core.recipe import Evaluation
from jaxgan.core.state import Players, RunState

POSITIONS_AT_ONCE, MOVES_AT_ONCE = 16, 512
DECAY = 10.0
"""The number of a side's moves in which the weight of a move falls by a factor e. Of 10, 20, 30 and
equal weights, it had the highest area on the validation games of docs/chess.md."""
OPENING = 10
"""The number of a side's first moves that `style_auc_later` leaves out."""
SAMPLE_SEED = 0
"""The seed that chooses the positions; they are the same in every run on the same games."""


class Networks(Protocol):
    """The networks of a system; see `chess_style.System`."""

    def value(self, players: Players, squares: jax.Array) -> jax.Array:
        """Returns the values of positions, uint8 [..., 64]: float32 [...]."""

    def judge(self, players: Players, before: jax.Array, following: jax.Array) -> jax.Array:
        """Returns the logits of M moves, uint8 [..., 64] and [..., M, 64]: float32 [..., M]."""


class Judgements(NamedTuple):
    """What the networks say about one part of the data.

    Attributes:
        values: float32 [N, M], of the positions after all legal moves of N positions.
        chosen: float32 [N], the logit of D for the move of the highest value.
        style: float32 [n], the logits of D for the moves that were played in the part.
    """

    values: jax.Array
    chosen: jax.Array
    style: jax.Array


class Judge:
    """Measures the networks of a run on one part of its data.

    Args:
        networks: as they are applied.
        dataset: the data set of the run.
        data: its positions on the devices.
        part: a name in `Dataset.parts`.
        positions: N at most, how many positions of the player have all their moves valued.
        mesh: the devices.

    Attributes:
        moves: the moves of the part.
    """

    def __init__(
        self,
        networks: Networks,
        dataset: Dataset,
        data: Resident,
        part: str,
        positions: int,
        mesh: Mesh,
    ) -> None:
        self.moves, games = dataset.parts[part], dataset.games
        own = self.moves.of(own=True)
        random = np.random.default_rng(SAMPLE_SEED)
        rows = np.sort(random.permutation(own)[:positions])
        counts = np.diff(games.starts)[rows]
        self._played = games.played[rows]
        self._legal = np.arange(counts.max()) < counts[:, None]
        # Places without a legal move hold the first one again.
        chosen = games.starts[rows][:, None] + np.where(self._legal, np.arange(counts.max()), 0)
        placed = devices.put_replicated((rows, chosen, self.moves.rows), mesh)
        self._program = jax.jit(_program(networks), out_shardings=devices.replicated(mesh))
        self._arguments = (*placed, data)

    def __call__(self, players: Players) -> Callable[[], tuple[dict[str, float], np.ndarray]]:
        """Starts to measure, and returns a function that waits for the result.

        Returns:
            `measure`'s dictionary, and the style of each move of the part, float32 [n].
        """
        requested = self._program(players, *self._arguments)

        def wait() -> tuple[dict[str, float], np.ndarray]:
            found: Judgements = jax.device_get(requested)
            return measure(found, self._legal, self._played, self.moves), np.asarray(found.style)

        return wait

    def evaluate(self, state: RunState, number: int) -> Callable[[], Evaluation]:
        """As `Recipe.evaluate`; the objective is the mean of ranking accuracy and AUC of games."""
        wait = self(state.players)

        def result() -> Evaluation:
            found, _ = wait()
            objective = (found["ranking_accuracy"] + found["style_auc_games"]) / 2
            metrics = {f"eval/{name}": value for name, value in found.items()}
            return Evaluation(metrics, objective, shown=2)

        return result


def _program(networks: Networks) -> Callable[..., Judgements]:
    def program(
        players: Players, rows: jax.Array, legal: jax.Array, played: jax.Array, data: Resident
    ) -> Judgements:
        def of_position(row: jax.Array, moves: jax.Array) -> tuple[jax.Array, jax.Array]:
            before = data.squares[row]
            following = after(before, data.legal[moves])
            values = networks.value(players, following)
            best = following[jnp.argmax(values)]
            return values, networks.judge(players, before, best[None])[0]

        def of_move(row: jax.Array) -> jax.Array:
            before, place = data.squares[row], data.starts[row] + data.played[row]
            return networks.judge(players, before, after(before, data.legal[place])[None])[0]

        values, chosen = jax.lax.map(
            lambda pair: of_position(*pair), (rows, legal), batch_size=POSITIONS_AT_ONCE
        )
        style = jax.lax.map(of_move, played, batch_size=MOVES_AT_ONCE)
        return Judgements(values, chosen, style)

    return program


def measure(
    found: Judgements, legal: np.ndarray, played: np.ndarray, moves: Moves
) -> dict[str, float]:
    """Returns the quality of judgements.

    `ranking_accuracy`: how probable it is that the move of the player has a higher value than
    another legal move, drawn at random; `top_1` and `top_5`: how often it has the highest value or
    one of the five highest. `style_auc_moves` and `style_auc_games`: the area under the ROC curve
    of D for single moves, and of its mean for games, see `by_game`; `style_auc_later`: the same
    without the first `OPENING` moves, NaN if the games are shorter. `style_of_choice`: the mean
    logit that D gives to the moves of the highest value; `style_of_player`: to those that the
    player made.

    Args:
        found: see `Judgements`.
        legal: bool [N, M], which of the values belong to a legal move.
        played: int [N], which move the player made.
        moves: the moves of the part.
    """
    accuracy, places = ranking(np.asarray(found.values), legal, played)
    style = np.asarray(found.style)
    scores, own = by_game(style, moves)
    return {
        "ranking_accuracy": float(np.nanmean(accuracy)),
        "style_auc_games": auc(scores, own),
        "style_auc_later": auc(*by_game(style, moves, skipped=OPENING)),
        "style_auc_moves": auc(style, moves.own),
        "top_1": float(np.mean(places < 1)),
        "top_5": float(np.mean(places < 5)),
        "style_of_choice": float(np.mean(found.chosen)),
        "style_of_player": float(np.mean(style[moves.own])),
    }


def ranking(
    values: np.ndarray, legal: np.ndarray, played: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns how the played moves rank among all legal ones.

    Args:
        values: float [N, M].
        legal: bool [N, M].
        played: int [N].

    Returns:
        float64 [N], the share of the other legal moves with a lower value, where an equal value
        counts half, NaN if there is no other; and float64 [N], the number of moves with a higher
        value, where an equal one counts half.
    """
    of_played = values[np.arange(len(values)), played][:, None]
    others = legal & (np.arange(values.shape[1]) != played[:, None])
    count = others.sum(axis=1)
    higher = (others & (values > of_played)).sum(axis=1)
    equal = (others & (values == of_played)).sum(axis=1)
    places = higher + equal / 2
    with np.errstate(invalid="ignore"):
        return 1 - np.where(count > 0, places, np.nan) / count, places


def by_game(style: np.ndarray, moves: Moves, skipped: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Returns a score for one side of each game, float64 [games], and whether it is the player's.

    The score is the mean of the style of its moves, in which the weight of a move falls by a factor
    e every `DECAY` moves. Early positions occur in many games, so that D knows them best.

    Args:
        style: float [n], of each move.
        moves: the n moves.
        skipped: how many moves at the start of the game do not count; a side with no more is left
            out.
    """
    counts = moves.turns >= skipped
    weights = np.exp(-moves.turns[counts] / DECAY)
    _, first, side = np.unique(moves.games[counts], return_index=True, return_inverse=True)
    scores = np.bincount(side, weights * style[counts]) / np.bincount(side, weights)
    return scores, moves.own[counts][first]


def auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Returns the area under the ROC curve of scores [n]; equal scores count half.

    It is NaN unless there are scores of both kinds.
    """
    ranks, count = rankdata(scores), int(positive.sum())
    if count in (0, len(scores)):
        return np.nan
    area = ranks[positive].sum() - count * (count + 1) / 2
    return float(area / (count * (len(scores) - count)))
