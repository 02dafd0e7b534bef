"""The layouts of weights over devices.

Columns are outputs and rows inputs. In each pair of matrix products the first kernel is
split by columns and the second by rows, so the values between them stay on their device
and the only sum over devices follows the second product. The other axis is split over
the replicas of the data: each holds a part of the weights and of the optimiser.
"""

import keras


def layout_map(
    device_mesh: keras.distribution.DeviceMesh,
    model_parallel_dim_name: str = "model",
    data_parallel_dim_name: str = "batch",
) -> keras.distribution.LayoutMap:
    """See `Regen.get_layout_map`."""
    model, data = model_parallel_dim_name, data_parallel_dim_name
    layout = _transformer_layout(device_mesh, model, data)
    columns, rows = (data, model), (model, data)

    # === Decoder ===
    # Modulation: a third of the weights, multiplied by one row for each sample. Split
    # by columns, its six parts would each lie on several devices.
    layout[r"(block_\d+|patch_output)/modulation/kernel"] = rows
    # From and to the pixels.
    layout[r"(patch_embedding|positional_encoding)/projection/kernel"] = columns
    layout[r"(patch_embedding|positional_encoding)/projection/bias"] = (model,)
    layout[r"patch_output/projection/kernel"] = rows
    # SIREN: split by features. Its first layer has one input.
    layout[r"positional_encoding/siren/linear_0/kernel"] = (None, model)
    layout[r"positional_encoding/siren/linear_[1-9]/kernel"] = columns
    layout[r"positional_encoding/siren/linear_\d/bias"] = (model,)

    # === Encoder ===
    # Convolutions: split by filters. The stem has few input channels, those of pixels.
    layout[r"stem/kernel"] = (None, None, None, None, model)
    layout[r"stem/bias"] = (model,)
    conv = (None, None, None, data, model)
    layout[r"stage_\d+_down/kernel"] = conv
    layout[r"stage_\d+_down/bias"] = (model,)
    layout[r"stage_\d+_block_\d+/conv_\d/kernel"] = conv
    layout[r"stage_\d+_block_\d+/conv_\d/bias"] = (model,)
    return layout


def latent_layout_map(
    device_mesh: keras.distribution.DeviceMesh,
    model_parallel_dim_name: str = "model",
    data_parallel_dim_name: str = "batch",
) -> keras.distribution.LayoutMap:
    """Lays out the weights of a `LatentTransformer`; see `Regen.get_layout_map`."""
    model, data = model_parallel_dim_name, data_parallel_dim_name
    layout = _transformer_layout(device_mesh, model, data)
    columns, rows = (data, model), (model, data)
    # Attention to a text: split by heads.
    layout[r"block_\d+/text_(query|key_value)/kernel"] = columns
    layout[r"block_\d+/text_(query|key_value)/bias"] = (model,)
    layout[r"block_\d+/text_output/kernel"] = rows
    # Modulation, multiplied by one row for each latent frame.
    layout[r"(latent_output/)?modulation/kernel"] = rows
    # From and to the latents, which have few channels.
    layout[r"latent_embedding/(content|motion)/kernel"] = (None, model)
    layout[r"latent_embedding/(content|motion)/bias"] = (model,)
    layout[r"latent_output/projection/(content|motion)/kernel"] = (model, None)
    # The condition. One label more than there are stands for none, so their number
    # cannot be divided.
    layout[r"text_tokens/projection/kernel"] = columns
    layout[r"text_tokens/projection/bias"] = (model,)
    layout[r"label_embedding/embeddings"] = (None, model)
    return layout


def _transformer_layout(device_mesh, model, data):
    """Lays out what all transformers have.

    Raises:
        ValueError: if it is not a mesh, or has no such axes.
    """
    if not isinstance(device_mesh, keras.distribution.DeviceMesh):
        raise ValueError(
            "`device_mesh` must be a `keras.distribution.DeviceMesh`. "
            f"Received: device_mesh={device_mesh}"
        )
    for name in (model, data):
        if name not in device_mesh.axis_names:
            raise ValueError(
                "The names must be axes of the mesh, which are "
                f"{', '.join(device_mesh.axis_names)}. Received: {name}"
            )
    layout = keras.distribution.LayoutMap(device_mesh)
    columns, rows = (data, model), (model, data)
    # Attention: split by heads.
    layout[r"block_\d+/qkv/kernel"] = columns
    layout[r"block_\d+/qkv/bias"] = (model,)
    layout[r"block_\d+/attention_output/kernel"] = rows
    # MLP.
    layout[r"block_\d+/mlp_hidden/kernel"] = columns
    layout[r"block_\d+/mlp_hidden/bias"] = (model,)
    layout[r"block_\d+/mlp_output/kernel"] = rows
    # Timestep embedding, an MLP.
    layout[r"timestep_embedding/hidden/kernel"] = columns
    layout[r"timestep_embedding/hidden/bias"] = (model,)
    layout[r"timestep_embedding/output_projection/kernel"] = rows
    return layout
