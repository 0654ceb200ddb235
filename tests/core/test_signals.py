import os
import signal
import threading

import pytest
import toy

from jaxgan.core import checkpoint, loop, signals


@pytest.fixture
def leave(monkeypatch):
    """Makes `os._exit` raise SystemExit, and lets every signal count as a request of its own."""

    def leave(status):
        raise SystemExit(status)

    monkeypatch.setattr(signals, "_SAME_REQUEST_SECONDS", 0.0)
    monkeypatch.setattr(os, "_exit", leave)


def send(number):
    os.kill(os.getpid(), number)


def test_the_first_signal_is_recorded_and_answered(capfd):
    with signals.listen(lambda name: f"{name} seen") as stop:
        assert stop.requested is None
        send(signal.SIGTERM)
        assert stop.requested == "SIGTERM"
        # The same request, forwarded by the program that started this one.
        send(signal.SIGINT)
        assert stop.requested == "SIGTERM"
    assert capfd.readouterr().err == "\nSIGTERM seen\n"


def test_handlers_are_restored():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with signals.listen(str):
        assert signal.getsignal(signal.SIGINT) is not before[0]
    assert before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_after_the_round_which_is_saved(
    number, recipe, uninterrupted, restore, assert_same, numbers, tmp_path, capfd
):
    interrupted = toy.changed(recipe, hook=lambda now: now == 3 and send(number))
    config = toy.get_config(checkpoint={"every": 10})
    loop.run(interrupted, config, tmp_path)
    output = capfd.readouterr()
    assert f"{number.name}: finishing this round" in output.err
    assert "nothing is saved yet" in output.err
    assert "stopped and saved after round 3; the same command continues" in output.out
    assert restore(tmp_path)[2].round == 3
    loop.run(recipe, config, tmp_path)
    assert_same(restore(uninterrupted)[:2], restore(tmp_path)[:2])
    assert numbers(uninterrupted) == numbers(tmp_path)


@pytest.mark.usefixtures("leave")
def test_a_second_signal_stops_at_once_and_leaves_the_checkpoint(recipe, tmp_path, capfd):
    def twice(number):
        if number == 2:
            send(signal.SIGINT)
            send(signal.SIGTERM)

    with pytest.raises(SystemExit, match="130"):
        loop.run(toy.changed(recipe, hook=twice), toy.get_config(), tmp_path)
    errors = capfd.readouterr().err
    assert "SIGINT: finishing this round" in errors
    assert "again to stop at once (round 1 is saved)" in errors
    assert signals.STOPPED in errors
    assert checkpoint.rounds(tmp_path) == [1]


def test_a_run_in_a_thread_that_gets_no_signals(recipe, tmp_path):
    config = toy.get_config(rounds=1)
    thread = threading.Thread(target=loop.run, args=(recipe, config, tmp_path))
    thread.start()
    thread.join()
    assert checkpoint.rounds(tmp_path) == [1]
