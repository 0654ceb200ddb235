import os
import signal
import time

import pytest

from jaxgan.core import signals


def test_the_first_signal_is_recorded_and_answered(capfd):
    with signals.listen(lambda name: f"{name} seen") as stop:
        assert stop.requested is None
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested == "SIGTERM"
        # The same request, forwarded by the program that started this one.
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.requested == "SIGTERM"
    assert capfd.readouterr().err == "\nSIGTERM seen\n"


def test_a_later_signal_stops_at_once(monkeypatch, capfd):
    def leave(status):
        raise SystemExit(status)

    monkeypatch.setattr(signals, "_SAME_REQUEST_SECONDS", 0.02)
    monkeypatch.setattr(os, "_exit", leave)
    with signals.listen(str):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.03)
        with pytest.raises(SystemExit, match="130"):
            os.kill(os.getpid(), signal.SIGTERM)
    assert signals.STOPPED in capfd.readouterr().err


def test_handlers_are_restored():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with signals.listen(str):
        assert signal.getsignal(signal.SIGINT) is not before[0]
    assert before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
