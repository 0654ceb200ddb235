"""Requests to a server on this machine: answers, errors, silence and the limit of the cost."""

import base64
import http.server
import io
import json
import threading
import time

import numpy as np
import pytest
import soundfile

from jaxgan.core.errors import UserError
from jaxgan.scores.words import TextReward, endpoint
from jaxgan.scores.words.endpoint import Endpoint, EndpointError
from tests.scores.words.test_properties import RATE, voice


@pytest.fixture(autouse=True)
def settings(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXGAN_CACHE", str(tmp_path))
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.setattr(endpoint, "FIRST_PAUSE_SECONDS", 0.01)


def text(content):
    return 200, {"choices": [{"message": {"content": content}}]}


class Server(http.server.ThreadingHTTPServer):
    """Gives its answers in turn, the last one again and again, and keeps the requests."""

    def __init__(self, *answers):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.requests = list(answers), []
        self.url = f"http://127.0.0.1:{self.server_port}/v1"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, self.headers["Authorization"], body))
        answers = self.server.answers
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer == "silence":
            time.sleep(1)
            return
        status, content = answer
        self.send_response(status)
        self.end_headers()
        self.wfile.write(content if isinstance(content, bytes) else json.dumps(content).encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def serve():
    servers = []

    def start(*answers):
        server = Server(*answers)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_recording_is_sent_as_a_wav_file(serve):
    server = serve(text(" Clear and natural. "))
    assert Endpoint(server.url, "ears", 5)(voice(), RATE) == "Clear and natural."
    path, key, body = server.requests[0]
    assert (path, key, body["model"]) == ("/v1/chat/completions", "Bearer secret", "ears")
    question, audio = body["messages"][0]["content"]
    assert "quality" in question["text"]
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(audio["input_audio"]["data"])))
    assert rate == RATE
    np.testing.assert_allclose(samples, voice(), atol=1 / 32768)


def test_a_busy_server_is_asked_again(serve):
    server = serve((429, {}), (503, {}), text("Good."))
    assert Endpoint(server.url, "ears", 5)(voice(), RATE) == "Good."
    assert len(server.requests) == 3


def test_a_silent_server_is_given_up(serve):
    server = serve("silence")
    with pytest.raises(EndpointError, match="timed out"):
        Endpoint(server.url, "ears", 9, timeout_seconds=0.05, tries=2)(voice(), RATE)
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((401, {}), "401"),
        ((200, b"<html>"), "no text"),
        ((200, {"choices": []}), "no text"),
        (text(""), "empty"),
        (text(None), "empty"),
    ],
)
def test_what_cannot_be_helped_is_not_tried_again(serve, answer, reason):
    server = serve(answer)
    with pytest.raises(EndpointError, match=reason):
        Endpoint(server.url, "ears", 9)(voice(), RATE)
    assert len(server.requests) == 1


def test_nobody_listens():
    with pytest.raises(EndpointError, match="no description"):
        Endpoint("http://127.0.0.1:9/v1", "ears", 9)(voice(), RATE)


def test_the_limit_counts_all_requests_ever_sent(serve):
    server = serve((503, {}), text("Good."))
    describe = Endpoint(server.url, "ears", 3)
    assert describe(voice(), RATE) == describe(voice(), RATE) == "Good."
    with pytest.raises(EndpointError, match="the limit of 3 requests is reached"):
        describe(voice(), RATE)
    assert len(server.requests) == 3


def test_a_recording_is_paid_for_once(serve):
    server = serve(text("Good."))
    rewards = [TextReward(Endpoint(server.url, "ears", 3)) for _ in range(2)]
    assert {reward.text(voice(), RATE) for reward in rewards} == {"Good."}
    assert len(server.requests) == 1


def test_a_missing_key_is_found_before_anything_is_scored(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(UserError, match="set the environment variable OPENAI_API_KEY"):
        TextReward(Endpoint("http://localhost/v1", "ears", 3)).prepare()
    Endpoint("http://localhost/v1", "ears", 3, key_variable="").prepare()
