"""Language models of random weights, saved to disk and loaded from there.

These tests need the extra `llm`, which the test environment does not have.
"""

import numpy as np
import pytest

from jaxgan.core.errors import UserError
from jaxgan.scores.words.models import AudioLanguageModel, StarClassifier

RATE = 16000


def test_without_the_packages_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(UserError, match=r"pip install 'jaxgan\[llm\]'"):
        StarClassifier("nowhere").prepare()
    with pytest.raises(UserError, match=r"pip install 'jaxgan\[llm\]'"):
        AudioLanguageModel("nowhere").prepare()


@pytest.fixture(scope="module")
def transformers():
    pytest.importorskip("torch", reason="needs the extra llm")
    return pytest.importorskip("transformers", reason="needs the extra llm")


@pytest.fixture(scope="module")
def tokenizer(transformers):
    from tokenizers import Tokenizer, pre_tokenizers
    from tokenizers.models import WordLevel

    words = ["<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>", "[UNK]", "[PAD]", "good", "bad"]
    vocabulary = {word: place for place, word in enumerate(words)}
    plain = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=plain, unk_token="[UNK]", pad_token="[PAD]"
    )
    tokenizer.add_special_tokens({"additional_special_tokens": words[:3]})
    return tokenizer


def test_a_star_classifier(transformers, tokenizer, tmp_path):
    config = transformers.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        num_labels=5,
    )
    transformers.BertForSequenceClassification(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    rate = StarClassifier(str(tmp_path))
    rate.prepare()
    assert 1 < rate("good") < 5
    assert rate("good") == rate("good") != rate("bad")


def test_an_audio_language_model(transformers, tokenizer, tmp_path):
    audio = transformers.Qwen2AudioEncoderConfig(
        d_model=16, encoder_layers=1, encoder_attention_heads=2, encoder_ffn_dim=16
    )
    text = transformers.Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
    config = transformers.Qwen2AudioConfig(
        audio_config=audio, text_config=text, audio_token_index=0
    )
    transformers.Qwen2AudioForConditionalGeneration(config).save_pretrained(tmp_path)
    features = transformers.WhisperFeatureExtractor(feature_size=128)
    transformers.Qwen2AudioProcessor(features, tokenizer).save_pretrained(tmp_path)
    describe = AudioLanguageModel(str(tmp_path), most_tokens=4)
    describe.prepare()
    noise = np.random.default_rng(0).normal(size=RATE) * 0.1
    assert isinstance(describe(noise, RATE), str)
    assert describe(noise, RATE) == describe(noise, RATE)
    with pytest.raises(ValueError, match="takes 16000 Hz"):
        describe(noise, 8000)


def test_a_folder_without_a_model(transformers, tmp_path):
    for model in (StarClassifier(str(tmp_path)), AudioLanguageModel(str(tmp_path))):
        with pytest.raises(UserError, match="no model that transformers can load"):
            model.prepare()
