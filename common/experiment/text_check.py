"""What a config may ask for where examples are texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.data import reader
from common.models.network import OF_TEXT

# Terms that move inputs a little; between two words there is nothing.
MOVES_INPUTS = ("virtual_adversarial",)


def check_text(config: Mapping[str, Any]) -> None:
    """Refuses what needs numbers that can be added where inputs are words, and the reverse.

    Args:
        config: The resolved config.

    Raises:
        ValueError: With the key, the value and what would be right.
    """
    model, data = config["model"], config["data"]
    is_text = reader.is_text(config["source"])
    if is_text != (model["name"] in OF_TEXT):
        said = "texts" if is_text else "no texts (csv:...)"
        legal = ", ".join(OF_TEXT) if is_text else "any other network"
        raise ValueError(
            f"config.model.name is {model['name']!r}, and config.source {config['source']!r} holds "
            f"{said}; legal are {legal}"
        )
    if not is_text:
        return
    size = model["options"].get("vocabulary_size", OF_TEXT[model["name"]].vocabulary_size)
    if size != data["vocabulary_size"]:
        raise ValueError(
            f"config.model.options.vocabulary_size is {size} and config.data.vocabulary_size "
            f"{data['vocabulary_size']}; they must be the same"
        )
    asked = {f"data.{key}": data[key] for key in ("center", "scaling")}
    asked |= {"objective.mixup": config["objective"]["mixup"]}
    for key, value in asked.items():
        if value not in ("none", 0):
            raise ValueError(
                f"config.{key} is {value!r}, which computes with inputs; those of texts are "
                "numbers of words: leave it as it is in configs/base.py"
            )
    for name in MOVES_INPUTS:
        if name in config["alignment"]:
            raise ValueError(
                f"config.alignment has {name!r}, which moves inputs a little; those of texts are "
                "numbers of words: leave it out"
            )
