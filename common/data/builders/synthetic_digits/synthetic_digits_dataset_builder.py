"""Synthetic digits after SYN NUMBERS: rendered, so that nothing has to be downloaded."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds

from common.data.builders.digit_record import describe_digits
from common.data.builders.synthetic_digits.render import SIZE, render_picture
from common.data.picture import encode_png
from common.legal import check_count

# TFDS keeps the records of a split in memory and can hold 1 GB of them without TensorFlow; a
# record takes about 1,650 bytes.
MAX_PICTURES = 500_000

# Numbers of the first pictures: no split depends on the size of the other.
FIRST = {"train": 0, "test": 2**32}


@dataclasses.dataclass(eq=False, kw_only=True)
class SyntheticDigitsConfig(tfds.core.BuilderConfig):
    """What is rendered.

    Attributes:
        num_train: Number of training pictures.
        num_test: Number of test pictures.
        seed: Seed of all random choices.
    """

    num_train: int
    num_test: int
    seed: int = 0

    def __post_init__(self) -> None:
        for split, count in (("num_train", self.num_train), ("num_test", self.num_test)):
            check_count(f"{split} of synthetic_digits", count)
            if count > MAX_PICTURES:
                raise ValueError(
                    f"{split} of synthetic_digits is {count}; it must be at most {MAX_PICTURES}, "
                    "since a split is held in memory while it is prepared"
                )
        check_count("seed of synthetic_digits", self.seed, 0)


def make_config(num_train: int, num_test: int, *, seed: int = 0) -> SyntheticDigitsConfig:
    """Describes a set of any size, for `Builder(config=...)`.

    Args:
        num_train: Number of training pictures, 1 to `MAX_PICTURES`.
        num_test: Number of test pictures, 1 to `MAX_PICTURES`.
        seed: Seed of all random choices, not negative.

    Returns:
        The config. Its name holds all three.

    Raises:
        ValueError: A number out of range.
    """
    return SyntheticDigitsConfig(
        name=f"train{num_train}_test{num_test}_seed{seed}",
        description=f"{num_train} and {num_test} pictures from seed {seed}.",
        num_train=num_train,
        num_test=num_test,
        seed=seed,
    )


def find_config(name: str) -> SyntheticDigitsConfig | None:
    """Reads a config off its name, as `make_config` writes it.

    Args:
        name: Such as `train5000_test1000_seed3`.

    Returns:
        The config; None where it is no such name.

    Raises:
        ValueError: A number out of range.
    """
    found = re.fullmatch(r"train(\d+)_test(\d+)_seed(\d+)", name)
    return make_config(int(found[1]), int(found[2]), seed=int(found[3])) if found else None


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Synthetic digits: picture i of a split depends on the config's seed and i alone."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    BUILDER_CONFIGS = [
        SyntheticDigitsConfig(
            name="default",
            description="100,000 and 10,000 pictures.",
            num_train=100_000,
            num_test=10_000,
        ),
        SyntheticDigitsConfig(
            name="large",
            description="As many as the published SYN NUMBERS: 479,400 and 9,553 pictures.",
            num_train=479_400,
            num_test=9_553,
        ),
    ]
    DEFAULT_BUILDER_CONFIG_NAME = "default"

    def _info(self) -> tfds.core.DatasetInfo:
        return describe_digits(
            self,
            (SIZE, SIZE, 3),
            homepage="https://jmlr.org/papers/v17/15-239.html",
            license="Apache-2.0, as the code that draws the pictures.",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        del dl_manager
        config = self.builder_config
        assert isinstance(config, SyntheticDigitsConfig)
        return {
            "train": self._generate_examples(config.seed, FIRST["train"], config.num_train),
            "test": self._generate_examples(config.seed, FIRST["test"], config.num_test),
        }

    def _generate_examples(
        self, seed: int, first: int, count: int
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        for number in range(count):
            picture, label = render_picture(seed, first + number)
            yield number, {"image": encode_png(picture), "label": label}
