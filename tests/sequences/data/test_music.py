import math

import pytest

from jaxgan.sequences.data import music


@pytest.mark.parametrize(
    ("tune", "pitches"),
    [
        ('"Am"c2 {gf}e !trill!d', [72, 76, 74]),
        ("60 62 64", [60, 62, 64]),
        ("60 _ _ 67", [60, 60, 60, 67]),
        ("C D E", [60, 62, 64]),
        ("C,2 ^c | _B3/2 G' z =f", [48, 73, 70, 79, 77]),
        ("|: cd [eg] :|", [72, 74, 76, 79]),
        ("_ 60", []),
        ("60 x9", []),
        ("hello", []),
        ("", []),
    ],
)
def test_notes_of_a_tune(tune, pitches):
    assert music.pitches(tune) == pitches


def test_objectives_are_shares_of_steps():
    # Up a fifth, up a fourth, up a sixth, down a fifth, a semitone up, held, a semitone down.
    tune = "60 67 72 81 74 75 _ 74"
    assert music.tonality([tune]) == [1 / 7]
    assert music.melodicity([tune]) == [3 / 7]
    assert music.steps([tune]) == [2 / 7]
    for objective in (music.tonality, music.melodicity, music.steps):
        assert math.isnan(objective(["60"])[0])
        assert math.isnan(objective(["_ 60 61"])[0])


def test_intervals_are_the_paper_s_frequency_ratios():
    for semitones, least, most in (
        (music.FIFTH, 1.45, 1.55),
        (music.FOURTH, 1.28, 1.38),
        (music.MAJOR_SIXTH, 1.62, 1.72),
    ):
        assert least < 2 ** (semitones / 12) < most


def test_made_tunes_follow_their_rule():
    tunes = music.make_tunes(300, 0)
    assert tunes == music.make_tunes(300, 0)
    assert len(set(tunes)) == 300
    for tune in tunes:
        notes = music.pitches(tune)
        assert 12 <= len(notes) - 1 <= 20
        tonic = notes[-1]
        assert tonic == notes[0]
        assert {(note - tonic) % 12 for note in notes} <= set(music.MAJOR)
        assert all(abs(note - tonic) <= 12 for note in notes)
    assert 0 < sum(music.tonality(tunes)) / 300 < 0.2


def test_diversity_of_pairs():
    assert music.diversity(["1 2 3", "1 2 3"]) == 0.0
    assert music.diversity(["1 2 3", "4 5 6"]) == 1.0
    assert music.diversity(["1 2 3", "2 3 4"]) == pytest.approx(1 - 1 / 3)
    assert math.isnan(music.diversity(["1 2"]))
