"""Vision transformers as timm, torchvision and Hugging Face name their weights."""

from __future__ import annotations

from common.models.pretrained.table import (
    DENSE,
    EXTRACTOR,
    OF_BATCH,
    VECTOR,
    Entry,
    Order,
    Table,
    head,
    layer,
    scale_and_bias,
)
from common.models.vit import ViTB16

PARTS = ("query", "key", "value")


def tables(extractor: ViTB16) -> dict[str, Table]:
    """Builds the tables of a network.

    Args:
        extractor: The network.

    Returns:
        A table by layout.
    """
    return {"timm": _timm(extractor), "torchvision": _torchvision(extractor)} | {
        "hugging_face": _hugging_face(extractor)
    }


def _patches(patch: int) -> Order:
    """PyTorch embeds patches by a convolution, here they are rows of a matrix."""

    def to_ours(array):
        return array.transpose(2, 3, 1, 0).reshape(-1, array.shape[0])

    def to_torch(array):
        return array.reshape(patch, patch, -1, array.shape[1]).transpose(3, 2, 0, 1)

    return Order(to_ours, to_torch)


def _stem(
    extractor: ViTB16,
    token: tuple[str, ...],
    positions: tuple[str, ...],
    projection: tuple[str, ...],
) -> list[Entry]:
    return [
        Entry(token, (f"{EXTRACTOR}/class_token",), OF_BATCH),
        Entry(positions, (f"{EXTRACTOR}/positions",), OF_BATCH),
        *layer(projection, f"{EXTRACTOR}/patch_embedding", _patches(extractor.patch)),
    ]


def _packed(weight: str, bias: str, path: str) -> list[Entry]:
    """One array holds query, key and value, one under another."""
    kernels = tuple(f"{path}/attention/{part}/kernel" for part in PARTS)
    biases = tuple(f"{path}/attention/{part}/bias" for part in PARTS)
    return [Entry((weight,), kernels, DENSE), Entry((bias,), biases, VECTOR)]


def _timm(extractor: ViTB16) -> Table:
    entries = _stem(extractor, ("cls_token",), ("pos_embed",), ("patch_embed.proj",))
    for index in range(extractor.blocks):
        key, path = f"blocks.{index}", f"{EXTRACTOR}/block_{index}"
        entries += scale_and_bias((f"{key}.norm1",), f"{path}/normalization_0")
        entries += _packed(f"{key}.attn.qkv.weight", f"{key}.attn.qkv.bias", path)
        entries += layer((f"{key}.attn.proj",), f"{path}/attention/output", DENSE)
        entries += scale_and_bias((f"{key}.norm2",), f"{path}/normalization_1")
        entries += layer((f"{key}.mlp.fc1",), f"{path}/dense_0", DENSE)
        entries += layer((f"{key}.mlp.fc2",), f"{path}/dense_1", DENSE)
    # timm has another name for it behind a mean.
    names = ("norm", "fc_norm") if extractor.features == "class_token" else ("fc_norm", "norm")
    entries += scale_and_bias(names, f"{EXTRACTOR}/normalization")
    return Table(tuple(entries), head(("head",)))


def _torchvision(extractor: ViTB16) -> Table:
    entries = _stem(extractor, ("class_token",), ("encoder.pos_embedding",), ("conv_proj",))
    for index in range(extractor.blocks):
        key, path = f"encoder.layers.encoder_layer_{index}", f"{EXTRACTOR}/block_{index}"
        own = f"{key}.self_attention"
        entries += scale_and_bias((f"{key}.ln_1",), f"{path}/normalization_0")
        entries += _packed(f"{own}.in_proj_weight", f"{own}.in_proj_bias", path)
        entries += layer((f"{own}.out_proj",), f"{path}/attention/output", DENSE)
        entries += scale_and_bias((f"{key}.ln_2",), f"{path}/normalization_1")
        # Its files have the older names.
        entries += layer((f"{key}.mlp.0", f"{key}.mlp.linear_1"), f"{path}/dense_0", DENSE)
        entries += layer((f"{key}.mlp.3", f"{key}.mlp.linear_2"), f"{path}/dense_1", DENSE)
    entries += scale_and_bias(("encoder.ln",), f"{EXTRACTOR}/normalization")
    return Table(tuple(entries), head(("heads.head",)))


def _hugging_face(extractor: ViTB16) -> Table:
    def names(*keys: str) -> tuple[str, ...]:
        # Without a head the network stands alone, and its names have no prefix.
        return tuple(f"{prefix}{key}" for prefix in ("vit.", "") for key in keys)

    entries = _stem(
        extractor,
        names("embeddings.cls_token"),
        names("embeddings.position_embeddings"),
        names("embeddings.patch_embeddings.projection"),
    )
    for index in range(extractor.blocks):
        # Files have the first names; from version 5 on the library itself has the second.
        key, new = f"encoder.layer.{index}", f"layers.{index}"
        path = f"{EXTRACTOR}/block_{index}"

        def both(old: str, now: str = "", key: str = key, new: str = new) -> tuple[str, ...]:
            return names(f"{key}.{old}", f"{new}.{now or old}")

        entries += scale_and_bias(both("layernorm_before"), f"{path}/normalization_0")
        for part in PARTS:
            own = both(f"attention.attention.{part}", f"attention.{part[0]}_proj")
            entries += layer(own, f"{path}/attention/{part}", DENSE)
        own = both("attention.output.dense", "attention.o_proj")
        entries += layer(own, f"{path}/attention/output", DENSE)
        entries += scale_and_bias(both("layernorm_after"), f"{path}/normalization_1")
        entries += layer(both("intermediate.dense", "mlp.fc1"), f"{path}/dense_0", DENSE)
        entries += layer(both("output.dense", "mlp.fc2"), f"{path}/dense_1", DENSE)
    entries += scale_and_bias(names("layernorm"), f"{EXTRACTOR}/normalization")
    # A further dense layer that no classifier of the library uses.
    unused = tuple(key for end in ("weight", "bias") for key in names(f"pooler.dense.{end}"))
    return Table(tuple(entries), head(("classifier",)), unused=unused)
