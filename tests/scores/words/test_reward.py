"""Descriptions become scores; slow ones are made once, also by several processes."""

import dataclasses
import math
import multiprocessing

import numpy as np
import pytest

from jaxgan.scores import Score, Unscorable, get
from jaxgan.scores.pool import ScorePool
from jaxgan.scores.words import TextReward, texts
from jaxgan.scores.words.endpoint import EndpointError
from jaxgan.scores.words.lexicon import rate
from tests.scores.words.test_properties import RATE, noise, voice


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXGAN_CACHE", str(tmp_path))


@dataclasses.dataclass(frozen=True)
class Counting:
    """Says how loud a recording is, and counts how often it is asked."""

    asked: list = dataclasses.field(default_factory=list, repr=False)
    slow = True

    def __call__(self, samples, sample_rate):
        self.asked.append(len(samples))
        return f"The level is {np.abs(samples).max():.3f}, which is good."


counting = TextReward(Counting())


def test_the_built_in_score():
    score = get("words")
    clean, noisy = voice(), voice() + noise(1e-3)
    assert (score.lowest, score.highest, score.higher_is_better) == (1, 5, True)
    assert score(clean, clean, RATE) == rate(score.description(clean, RATE))
    assert 1 <= score(clean, noisy, RATE) < score(clean, clean, RATE) <= 5
    assert score.normalise(3.0) == 0.5


def test_the_reference_has_no_effect():
    score = get("words")
    assert score(voice(), voice() + noise(1e-4), RATE) == score(
        noise(0.01), voice() + noise(1e-4), RATE
    )


def test_a_pair_that_cannot_be_described_has_no_score():
    score = get("words")
    short = voice()[4000:6000]
    assert math.isnan(score(short, short, RATE))
    assert score.description(short, RATE) == "no description: shorter than half a second"


def test_an_error_of_a_description_is_shown_in_its_place():
    def describe(samples, sample_rate):
        raise EndpointError("http://localhost: no description (503 busy)")

    reward = TextReward(describe)
    score = Score("mine", reward, 1.0, 5.0, True, text=reward.text)
    expected = "no description: EndpointError: http://localhost: no description (503 busy)"
    assert score.description(voice(), RATE) == expected


def test_a_slow_description_is_made_once():
    describe = Counting()
    reward = TextReward(describe)
    first, again = (reward.text(voice(), RATE) for _ in range(2))
    assert first == again
    assert describe.asked == [len(voice())]
    # The key has the recording, its rate and the repr of what describes it.
    reward.text(voice() / 2, RATE)
    reward.text(voice(), 8000)
    assert len(describe.asked) == 3


def test_workers_and_the_parent_share_descriptions():
    with ScorePool(["tests.scores.words.test_reward:counting"], RATE, workers=2) as pool:
        pairs = [(voice(), voice() * gain) for gain in (0.5, 0.6, 0.5, 0.6)]
        values = [pool.submit(*pair).result() for pair in pairs]
    assert all(1 <= next(iter(value.values())) <= 5 for value in values)
    counting.text(pairs[0][1], RATE)
    assert counting._describe.asked == []


def write_many(path, start):
    store = texts.Texts(path)
    for number in range(20):
        store.put(f"{number}", f"text {start}")
        store.count("requests")


def test_processes_write_at_the_same_time(tmp_path):
    context = multiprocessing.get_context("spawn")
    path = tmp_path / "store.sqlite"
    processes = [context.Process(target=write_many, args=(path, start)) for start in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    store = texts.Texts(path)
    assert store.count("requests") == 61
    assert {store.get(str(number)) for number in range(20)} <= {f"text {n}" for n in range(3)}


def test_ratings_are_clipped_to_the_range():
    assert TextReward(lambda *_: "", lambda _: 7.0)(voice(), voice(), RATE) == 5
    assert TextReward(lambda *_: "", lambda _: -7.0)(voice(), voice(), RATE) == 1


def test_functions_are_prepared_before_deadlines_count():
    prepared = []

    def describe(samples, rate):
        raise Unscorable("not used")

    describe.prepare = lambda: prepared.append("describe")
    TextReward(describe).prepare()
    assert prepared == ["describe"]
