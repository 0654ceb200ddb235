import io

import pytest
from rich.console import Console

from jaxgan.core import progress
from jaxgan.core.progress import Display


def test_plain_lines(capsys):
    display = Display(4, 0, live=False)
    display.part("score")
    display.round_done(1, {"d_loss": 0.12345}, 60.0)
    display.round_done(2, {"d_loss": 0.1}, 2.0)
    display.validated(1, {"score": 1.5, "score_noisy": 1.25})
    display.round_done(3, {"d_loss": 0.0999}, 4.0)
    display.say("[done]")
    assert capsys.readouterr().out.splitlines() == [
        "round 1/4  d_loss 0.1235  60.0 s",
        "round 2/4  d_loss 0.1  2.0 s  4 s left",
        "validation of round 1: score 1.5  score_noisy 1.25",
        "round 3/4  d_loss 0.0999  4.0 s  3 s left",
        "[done]",
    ]


def test_the_time_left_does_not_extrapolate_one_phase_into_another(capsys):
    display = Display(10, 0, (4, 5), live=False)
    for number, seconds in ((1, 9.0), (2, 1.0), (3, 3.0), (4, 50.0), (5, 40.0), (6, 10.0)):
        display.round_done(number, {}, seconds)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(" s")[2].strip() for line in lines] == [
        "",  # the first round compiles
        "1 s to round 3",
        "",  # no round of the second phase has been timed yet
        "",
        "",
        "40 s left",
    ]


def test_a_run_that_continues_in_a_later_phase_knows_the_time_left(capsys):
    display = Display(6, 3, (3,), live=False)
    for number in (4, 5):
        display.round_done(number, {}, 2.0)
    assert capsys.readouterr().out.splitlines()[1].endswith("2 s left")


def test_long_lines_are_not_wrapped(capsys):
    Display(4, 0, live=False).say("word " * 100)
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_the_bar_shows_round_values_part_and_time_left():
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=80, color_system=None)
    display = Display(10, 2, live=True, console=console)
    display.start()
    for number in (3, 4):
        display.round_done(number, {"d_loss": 0.25}, 30.0)
    display.validated(3, {"pesq_wb": 1.5})
    display.part("enhance")
    display._bar.refresh()
    display.say("a line above")
    display.stop()
    text = stream.getvalue()
    assert "round 4/10" in text
    assert "d_loss 0.25  pesq_wb 1.5 (round 3)" in text
    assert "3 min left" in text
    assert "enhance" in text
    assert "a line above" in text


def test_the_other_processes_are_silent(capsys):
    with progress.show(3, 0, silent=True) as display:
        display.part("x")
        display.round_done(1, {}, 1.0)
        display.say("hello")
    assert capsys.readouterr().out == ""


def test_there_is_no_bar_without_a_terminal(capsys):
    with progress.show(3, 0) as display:
        display.round_done(1, {}, 1.0)
    assert capsys.readouterr().out == "round 1/3    1.0 s\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (99, "99 s"), (100, "2 min"), (5900, "98 min"), (7200 + 60, "2 h 01 min")],
)
def test_durations(seconds, text):
    assert progress.duration(seconds) == text


def test_compilations_in_plain_output(capsys):
    display = Display(3, 0, live=False)
    for report in ((0, 2, 1.0), (0, 2, 2.0), (1, 2, 11.2), (2, 2, 12.0), (0, 1, 1.0)):
        display.compiling(*report)
    assert capsys.readouterr().out.splitlines() == [
        "compiling 1 of 2, 1 s",
        "compiling 2 of 2, 11 s",
        "compiled 2 of 2 in 12 s",
        "compiling 1 of 1, 1 s",
    ]
