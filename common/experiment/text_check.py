"""What a config may ask for where examples are texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.data import reader
from common.experiment import json_file
from common.experiment.parent import parent_folder
from common.models.network import OF_TEXT

# Terms that move inputs a little; between two words there is nothing.
MOVES_INPUTS, MIXES_INPUTS = ("virtual_adversarial",), ("mixval",)

# What of `config.data` decides, with the source, which word has which number.
OF_WORDS = (
    *("split_seed", "val_share", "test_share", "vocabulary_size", "text_column", "label_column"),
    *("classes", "rename_classes"),
)


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
    for name in MIXES_INPUTS:
        if name in config["evaluation"]["scores"]:
            raise ValueError(
                f"config.evaluation.scores has {name!r}, which mixes inputs; those of texts are "
                "numbers of words: leave it out"
            )
    for name in MOVES_INPUTS:
        if name in config["alignment"]:
            raise ValueError(
                f"config.alignment has {name!r}, which moves inputs a little; those of texts are "
                "numbers of words: leave it out"
            )
    _check_words(config)


def _check_words(config: Mapping[str, Any]) -> None:
    """Refuses a parent run whose numbers stand for other words; shapes would not tell."""
    parent = parent_folder(config)
    if parent is None or not (parent / "config.json").is_file():
        return
    other = json_file.read_json(parent / "config.json")["config"]
    pairs = {"source": (config["source"], other["source"])}
    pairs |= {
        f"data.{key}": (config["data"][key], other["data"].get(key, config["data"][key]))
        for key in OF_WORDS
    }
    for key, (own, before) in pairs.items():
        if own != before:
            raise ValueError(
                f"config.{key} is {own!r} and that of {parent}, which the run starts from, "
                f"{before!r}: other texts give words other numbers; let both be the same"
            )
