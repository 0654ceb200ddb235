"""Describes speech by a server with OpenAI's interface for chats that take audio."""

import base64
import dataclasses
import http.client
import io
import json
import os
import time
import urllib.error
import urllib.request
from typing import Any

import numpy as np
import soundfile

from jaxgan.core.errors import UserError
from jaxgan.scores.words import texts
from jaxgan.scores.words.models import PROMPT

TRY_AGAIN = (408, 409, 429, 500, 502, 503, 504)
"""The HTTP status codes after which a request is sent again."""
FIRST_PAUSE_SECONDS = 1.0


class EndpointError(Exception):
    """Raised if the server gives no description; the item then counts as unscorable."""


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """Describes recordings by requests to `URL/chat/completions`.

    Every answer is kept in the user's cache folder, so that a recording is paid for once.

    Attributes:
        url: the address of the server, such as "http://localhost:8000/v1".
        model: the name under which the server knows the model.
        most_requests: the most requests, including repeated ones, that are ever sent with this url
            and model. They are counted in the user's cache folder, and limit the cost.
        prompt: the question.
        most_tokens: the length of the longest answer.
        key_variable: the environment variable with the key; empty if the server asks for none.
        timeout_seconds: the time limit for one request. Set `config.scoring.deadline_seconds` above
            the time of all tries.
        tries: how often a request is sent while the server is busy or does not answer.
    """

    url: str
    model: str
    most_requests: int
    prompt: str = PROMPT
    most_tokens: int = 128
    key_variable: str = "OPENAI_API_KEY"
    timeout_seconds: float = 20.0
    tries: int = 3
    slow = True

    def __repr__(self) -> str:
        """Returns what the descriptions depend on, for the cache."""
        return f"Endpoint({self.url!r}, {self.model!r}, {self.prompt!r}, {self.most_tokens})"

    def prepare(self) -> None:
        """Checks that there is a key.

        Raises:
            UserError: the environment variable is not set.
        """
        if self.key_variable and not os.environ.get(self.key_variable):
            raise UserError(f"{self.url}: set the environment variable {self.key_variable}")

    def __call__(self, samples: np.ndarray, sample_rate: int) -> str:
        """Returns the server's description of a recording.

        Raises:
            EndpointError: the server does not answer, refuses, or answers without a text, or the
                limit of requests is reached.
        """
        request = self._request(samples, sample_rate)
        reason = ""
        for number in range(self.tries):
            if number:
                time.sleep(FIRST_PAUSE_SECONDS * 2 ** (number - 1))
            if texts.stored().count(f"{self.url} {self.model}") > self.most_requests:
                raise EndpointError(
                    f"{self.url}: the limit of {self.most_requests} requests is reached"
                )
            try:
                with urllib.request.urlopen(request, timeout=self.timeout_seconds) as answer:
                    return _text(json.load(answer))
            except urllib.error.HTTPError as error:
                reason = f"{error.code} {error.reason}"
                if error.code not in TRY_AGAIN:
                    break
            except (OSError, http.client.HTTPException) as error:
                reason = str(error) or type(error).__name__
            except (ValueError, LookupError, TypeError) as error:
                raise EndpointError(f"{self.url}: the answer has no text ({error})") from error
        raise EndpointError(f"{self.url}: no description ({reason})")

    def _request(self, samples: np.ndarray, sample_rate: int) -> urllib.request.Request:
        stream = io.BytesIO()
        clipped = np.clip(samples, -1, 1)
        soundfile.write(stream, clipped, sample_rate, format="WAV", subtype="PCM_16")
        data = base64.b64encode(stream.getvalue()).decode()
        content = [
            {"type": "text", "text": self.prompt},
            {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}},
        ]
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": content}],
            "max_tokens": self.most_tokens,
            "temperature": 0,
        }
        headers = {"Content-Type": "application/json"}
        if self.key_variable:
            headers["Authorization"] = f"Bearer {os.environ.get(self.key_variable, '')}"
        url = f"{self.url.rstrip('/')}/chat/completions"
        return urllib.request.Request(url, json.dumps(body).encode(), headers)


def _text(answer: Any) -> str:
    text = answer["choices"][0]["message"]["content"]
    if not isinstance(text, str) or not text.strip():
        raise ValueError("it is empty")
    return text.strip()
