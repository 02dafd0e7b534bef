"""Every layer: config, shapes, policies, training and saving."""

import pytest

from keras_regen import layers
from tests.test_case import TestCase

CASES = {
    "CausalConv3D": dict(
        init_kwargs={"filters": 8, "kernel_size": (3, 3, 3), "strides": (2, 2, 2)},
        input_shapes=[(2, 5, 8, 12, 4)],
        output_shape=(2, 3, 4, 6, 8),
        num_weights=2,
        other_shapes=[([(1, 1, 4, 4, 4)], (1, 1, 2, 2, 8))],
    ),
    "CausalUpsample3D": dict(
        init_kwargs={"filters": 4, "kernel_size": (3, 3, 3), "strides": (2, 2)},
        input_shapes=[(2, 3, 4, 6, 8)],
        output_shape=(2, 5, 8, 12, 4),
        num_weights=2,
        other_shapes=[([(1, 1, 2, 2, 8)], (1, 1, 4, 4, 4))],
    ),
    "ResidualBlock3D": dict(
        init_kwargs={"filters": 8, "kernel_sizes": ((1, 3, 3), (3, 1, 1))},
        input_shapes=[(2, 3, 4, 6, 4)],
        output_shape=(2, 3, 4, 6, 8),
        num_weights=8,
        other_shapes=[([(1, 1, 2, 2, 4)], (1, 1, 2, 2, 8))],
    ),
    "ModulatedSiren": dict(
        init_kwargs={"features": 16, "depth": 2},
        input_shapes=[(2, 9), (2, 4, 6, 8)],
        output_shape=(2, 9, 4, 6, 16),
        num_weights=8,
        other_shapes=[([(1, 3), (1, 1, 2, 8)], (1, 3, 1, 2, 16))],
    ),
    "ContentAwarePositionalEncoding": dict(
        init_kwargs={"units": 16, "temporal_compression": 8, "siren_features": 12},
        input_shapes=[(2, 2, 4, 6, 8), (2, 9)],
        output_shape=(2, 9, 4, 6, 16),
        num_weights=14,
        other_shapes=[([(1, 1, 3, 2, 8), (1, 1)], (1, 1, 3, 2, 16))],
    ),
    "TimestepEmbedding": dict(
        init_kwargs={"units": 16, "num_frequencies": 8},
        input_shapes=[(3,)],
        output_shape=(3, 16),
        num_weights=4,
        other_shapes=[([(5,)], (5, 16))],
    ),
    "DepthwiseMixing": dict(
        init_kwargs={"size": 3},
        input_shapes=[(2, 3, 4, 6, 8)],
        output_shape=(2, 3, 4, 6, 8),
        num_weights=1,
        other_shapes=[([(1, 1, 1, 1, 8)], (1, 1, 1, 1, 8))],
    ),
    "DiTBlock": dict(
        init_kwargs={"units": 16, "num_heads": 2, "mlp_ratio": 2, "mixing_size": 3},
        input_shapes=[(2, 3, 4, 6, 16), (2, 16)],
        output_shape=(2, 3, 4, 6, 16),
        num_weights=13,
        other_shapes=[([(1, 5, 2, 3, 16), (1, 16)], (1, 5, 2, 3, 16))],
    ),
    "PatchEmbedding": dict(
        init_kwargs={"units": 16},
        input_shapes=[(2, 3, 16, 24, 3)],
        output_shape=(2, 3, 2, 3, 16),
        num_weights=2,
        other_shapes=[([(1, 1, 8, 8, 3)], (1, 1, 1, 1, 16))],
    ),
    "Patchify": dict(
        init_kwargs={"patch_size": 4},
        input_shapes=[(2, 3, 8, 12, 3)],
        output_shape=(2, 3, 2, 3, 48),
        num_weights=0,
        other_shapes=[([(1, 1, 4, 4, 3)], (1, 1, 1, 1, 48))],
    ),
    "Unpatchify": dict(
        init_kwargs={"patch_size": 4},
        input_shapes=[(2, 3, 2, 3, 48)],
        output_shape=(2, 3, 8, 12, 3),
        num_weights=0,
        other_shapes=[([(1, 1, 1, 1, 48)], (1, 1, 4, 4, 3))],
    ),
    "PatchOutput": dict(
        init_kwargs={"units": 16, "overlap": 4},
        input_shapes=[(2, 3, 2, 3, 16), (2, 16)],
        output_shape=(2, 3, 16, 24, 3),
        num_weights=4,
        other_shapes=[([(1, 1, 1, 1, 16), (1, 16)], (1, 1, 8, 8, 3))],
    ),
    "InContextTokens": dict(
        init_kwargs={"units": 16},
        input_shapes=[(2, 3, 4, 6, 16), (2, 2, 4, 6, 8)],
        output_shape=(2, 5, 4, 6, 16),
        num_weights=4,
        other_shapes=[([(1, 1, 2, 2, 16), (1, 1, 2, 2, 8)], (1, 3, 2, 2, 16))],
    ),
    "SineCosinePositionalEncoding": dict(
        init_kwargs={},
        input_shapes=[(2, 3, 4, 6, 16), (2, 3)],
        output_shape=(2, 3, 4, 6, 16),
        num_weights=0,
        other_shapes=[([(1, 1, 2, 2, 16), (1, 1)], (1, 1, 2, 2, 16))],
    ),
    "AlternatingDense": dict(
        init_kwargs={"units": 16},
        input_shapes=[(2, 4, 2, 3, 8)],
        output_shape=(2, 4, 2, 3, 16),
        num_weights=4,
        other_shapes=[([(1, 2, 1, 1, 8)], (1, 2, 1, 1, 16))],
    ),
    "LatentOutput": dict(
        init_kwargs={"units": 16},
        input_shapes=[(2, 4, 2, 3, 16), (2, 4, 16)],
        output_shape=(2, 4, 2, 3, 8),
        num_weights=6,
        other_shapes=[([(1, 2, 1, 1, 16), (1, 2, 16)], (1, 2, 1, 1, 8))],
    ),
    "LatentTransformerBlock": dict(
        init_kwargs={"units": 32, "num_heads": 2, "mlp_ratio": 2, "has_text": True},
        input_shapes=[
            *[(2, 4, 2, 3, 32), (2, 4, 192), (2, 4, 2, 3, 8)],
            *[(2, 5, 32), (2, 5)],
        ],
        output_shape=(2, 4, 2, 3, 32),
        num_weights=19,
        other_shapes=[
            (
                [
                    *[(1, 2, 1, 1, 32), (1, 2, 192), (1, 2, 1, 1, 8)],
                    *[(1, 1, 32), (1, 1)],
                ],
                (1, 2, 1, 1, 32),
            )
        ],
    ),
    "RotaryPositions": dict(
        init_kwargs={"head_dim": 16},
        input_shapes=[(2, 3, 4, 6, 32), (2, 3)],
        output_shape=(2, 3, 4, 6, 8),
        num_weights=0,
        other_shapes=[([(1, 1, 1, 1, 32), (1, 1)], (1, 1, 1, 1, 8))],
    ),
    "TextTokens": dict(
        init_kwargs={"units": 16},
        input_shapes=[(2, 5, 12), (2, 5)],
        output_shape=(2, 6, 16),
        num_weights=3,
        other_shapes=[([(1, 1, 12), (1, 1)], (1, 2, 16))],
    ),
    "VariationalLatents": dict(
        init_kwargs={"kl_weight": 0.5},
        input_shapes=[(2, 2, 4, 6, 16)],
        output_shape=(2, 2, 4, 6, 8),
        num_weights=0,
        other_shapes=[([(1, 1, 2, 2, 16)], (1, 1, 2, 2, 8))],
    ),
}


class TestLayers(TestCase):
    @pytest.mark.parametrize("name", CASES)
    def test_layer(self, name):
        self.run_layer_test(getattr(layers, name), **CASES[name])

    @pytest.mark.parametrize("name", [n for n in CASES if CASES[n]["num_weights"]])
    def test_trains_saves_and_loads(self, name, tmp_path):
        self.run_training_test(
            getattr(layers, name),
            CASES[name]["init_kwargs"],
            CASES[name]["input_shapes"],
            tmp_path,
        )


def test_every_layer_has_a_case():
    public = {name for name in layers.__all__ if name[0].isupper()}
    assert public == set(CASES)
