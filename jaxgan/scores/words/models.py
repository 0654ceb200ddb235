"""Describes speech with an audio language model and rates texts with a five-star classifier.

Both run on local weights through the package transformers, which the extra `llm` installs with
torch. They are loaded when the first text is asked for, or by `prepare`.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxgan.core.errors import UserError

PROMPT = "Give me an assessment of the quality of this speech sample."
"""SALMONN's recommended prompt, which LR-AVSE uses."""


@dataclasses.dataclass(frozen=True)
class AudioLanguageModel:
    """Describes recordings with a model of Qwen2-Audio's classes (Chu et al. 2024).

    Attributes:
        path: the path of a folder with the model's weights and its processor.
        prompt: the question.
        most_tokens: the length of the longest answer.
        device: where the model runs, as torch names it. A worker process sees no accelerator unless
            its environment says otherwise.
    """

    path: str
    prompt: str = PROMPT
    most_tokens: int = 128
    device: str = "cpu"
    slow = True

    def prepare(self) -> None:
        """Loads the model.

        Raises:
            UserError: transformers or torch is not installed, or the folder has no such model.
        """
        _audio_language_model(self.path, self.device)

    def __call__(self, samples: np.ndarray, sample_rate: int) -> str:
        """Returns the most likely answer to the prompt: greedy decoding, without sampling."""
        import torch

        processor, model = _audio_language_model(self.path, self.device)
        rate = processor.feature_extractor.sampling_rate
        if sample_rate != rate:
            raise ValueError(f"{self.path} takes {rate} Hz, not {sample_rate}")
        content = [{"type": "audio", "audio": samples}, {"type": "text", "text": self.prompt}]
        prompt = processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
        )
        inputs = processor(
            text=prompt, audio=[samples.astype(np.float32)], sampling_rate=rate, return_tensors="pt"
        ).to(self.device)
        with torch.inference_mode():
            answer = model.generate(**inputs, max_new_tokens=self.most_tokens, do_sample=False)
        new = answer[:, inputs["input_ids"].shape[1] :]
        text: str = processor.batch_decode(new, skip_special_tokens=True)[0]
        return text.strip()


@dataclasses.dataclass(frozen=True)
class StarClassifier:
    """Rates texts by a frozen classifier with five classes, from one star to five.

    Attributes:
        path: the path of a folder with the weights and the tokenizer of a model for sequence
            classification, such as a BERT that was trained on reviews.
    """

    path: str

    def prepare(self) -> None:
        """Loads the model.

        Raises:
            UserError: transformers or torch is not installed, or the folder has no such model.
        """
        _star_classifier(self.path)

    def __call__(self, text: str) -> float:
        """Returns the expected number of stars, in 1..5."""
        import torch

        tokenizer, model = _star_classifier(self.path)
        inputs = tokenizer(text, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            shares = model(**inputs).logits.softmax(-1)[0].double().numpy()
        return float(shares @ np.arange(1, 6))


@functools.cache
def _audio_language_model(path: str, device: str) -> tuple[Any, Any]:
    transformers = _transformers()
    return _load(
        path,
        lambda: (
            transformers.AutoProcessor.from_pretrained(path, local_files_only=True),
            transformers.Qwen2AudioForConditionalGeneration.from_pretrained(
                path, local_files_only=True, use_safetensors=True
            )
            .eval()
            .to(device),
        ),
    )


@functools.cache
def _star_classifier(path: str) -> tuple[Any, Any]:
    transformers = _transformers()
    tokenizer, model = _load(
        path,
        lambda: (
            transformers.AutoTokenizer.from_pretrained(path, local_files_only=True),
            transformers.AutoModelForSequenceClassification.from_pretrained(
                path, local_files_only=True, use_safetensors=True
            ).eval(),
        ),
    )
    if model.config.num_labels != 5:
        raise UserError(f"{path}: has {model.config.num_labels} classes, not five")
    return tokenizer, model


def _transformers() -> Any:
    try:
        import torch  # noqa: F401
        import transformers
    except ImportError as error:
        raise UserError(
            f"language models need additional packages ({error}): pip install 'jaxgan[llm]'"
        ) from error
    return transformers


def _load(path: str, load: Callable[[], tuple[Any, Any]]) -> tuple[Any, Any]:
    try:
        return load()
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: no model that transformers can load ({reason})") from error
