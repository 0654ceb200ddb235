"""Melodies: objectives for tunes as in ORGAN (Guimaraes et al. 2017), and tunes made by a rule.

A tune is text: either pitches as MIDI numbers separated by spaces, where "_" holds the note before
("60 _ 62 64"), or ABC notation ("C D E2 | ^f g,"). Of ABC notation, letters, accidentals and octave
marks count; note lengths, bars, rests, chord names, grace notes and ornaments are ignored.

Every objective is a share of the steps from one note to the next; a hold is a repeated note. Text
that is not a tune (fewer than two notes, a hold at the start, other characters) gets NaN.
"""

import itertools
import math
import random
import re
from collections.abc import Callable, Sequence

HOLD = "_"
NOTE = re.compile(r"(\^\^|\^|__|_|=)?([A-Ga-g])([,']*)")
IGNORED = re.compile(r'("[^"]*"|\{[^}]*\}|![^!]*!|[\s|:\[\]0-9/zZx()\-<>~.])*')
SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
ACCIDENTALS = {"": 0, "=": 0, "^": 1, "^^": 2, "_": -1, "__": -2}
MIDDLE_C = 60
FOURTH, FIFTH, MAJOR_SIXTH, OCTAVE = 5, 7, 9, 12  # semitones
MAJOR = (0, 2, 4, 5, 7, 9, 11)
SHARE_OF_HOLDS = 0.2


def tonality(tunes: list[str]) -> list[float]:
    """Returns the share of steps that are ascending perfect fifths."""
    return [_share(tune, lambda step: step == FIFTH) for tune in tunes]


def melodicity(tunes: list[str]) -> list[float]:
    """Returns the share of steps that are ascending perfect fourths, fifths or major sixths."""
    return [_share(tune, lambda step: step in (FOURTH, FIFTH, MAJOR_SIXTH)) for tune in tunes]


def steps(tunes: list[str]) -> list[float]:
    """Returns the "ratio of steps": the share of steps of one semitone, up or down."""
    return [_share(tune, lambda step: abs(step) == 1) for tune in tunes]


def pitches(tune: str) -> list[int]:
    """Returns the notes of a tune as MIDI numbers; an empty list if the text is not a tune."""
    words = tune.split()
    if all(word == HOLD or word.isdecimal() for word in words):
        found: list[int] = []
        for word in words:
            if word == HOLD and not found:
                return []
            found.append(found[-1] if word == HOLD else int(word))
        return found
    return _abc_pitches(tune)


def _abc_pitches(tune: str) -> list[int]:
    found, place = [], 0
    while place < len(tune):
        note = NOTE.match(tune, place)
        if note:
            accidental, letter, octaves = note.groups()
            pitch = MIDDLE_C + SEMITONES[letter.upper()] + OCTAVE * letter.islower()
            pitch += OCTAVE * (octaves.count("'") - octaves.count(","))
            found.append(pitch + ACCIDENTALS[accidental or ""])
            place = note.end()
            continue
        ignored = IGNORED.match(tune, place)
        if not ignored or ignored.end() == place:
            return []
        place = ignored.end()
    return found


def _share(tune: str, counts: Callable[[int], bool]) -> float:
    notes = pitches(tune)
    if len(notes) < 2:
        return math.nan
    hits = [counts(after - before) for before, after in itertools.pairwise(notes)]
    return sum(hits) / len(hits)


def make_tunes(count: int, seed: int) -> list[str]:
    """Returns different tunes as pitches: random walks on a major scale around its tonic.

    A tune has 12 to 20 notes and then the tonic. One note in five holds the note before it; the
    others move by one degree of the scale (5 of 8), two (2 of 8), or four, a fifth (1 of 8), and
    turn back at an octave from the tonic.
    """
    draw = random.Random(seed)
    tunes: dict[str, None] = {}
    while len(tunes) < count:
        tonic, degree, words = draw.choice((60, 62, 65, 67)), 0, []
        for place in range(draw.randint(12, 20)):
            if place and draw.random() < SHARE_OF_HOLDS:
                words.append(HOLD)
                continue
            words.append(str(_pitch(tonic, degree)))
            move = draw.choice((1, 1, 1, 1, 1, 2, 2, 4)) * draw.choice((-1, 1))
            degree += move if abs(degree + move) <= len(MAJOR) else -move
        words.append(str(tonic))
        tunes[" ".join(words)] = None
    return list(tunes)


def _pitch(tonic: int, degree: int) -> int:
    octave, place = divmod(degree, len(MAJOR))
    return tonic + OCTAVE * octave + MAJOR[place]


def diversity(tunes: Sequence[str]) -> float:
    """Returns 1 minus the mean Jaccard similarity of two tunes; NaN for fewer than two tunes.

    The similarity compares the sets of pairs of neighbouring tokens.
    """
    words = [tune.split() for tune in tunes]
    sets = [set(itertools.pairwise(line)) for line in words]
    pairs = [
        len(one & other) / len(one | other) if one | other else 1.0
        for place, one in enumerate(sets)
        for other in sets[:place]
    ]
    return 1 - sum(pairs) / len(pairs) if pairs else math.nan
