"""Tests that pictures are brought to a range once."""

import pytest

from common.experiment.check import check_values
from tests.tiny import make_config


@pytest.mark.parametrize(("key", "value"), [("center", "source"), ("scaling", "standardize")])
def test_pictures_are_not_brought_to_two_ranges(key, value):
    changes = {"model.name": "resnet18", "model.options": {"input_statistics": "imagenet"}}
    check_values(make_config(changes=changes))
    message = rf"input_statistics is of pictures in \[0, 1\], but config.data.{key} is '{value}'"
    with pytest.raises(ValueError, match=message):
        check_values(make_config(changes={**changes, f"data.{key}": value}))
    changes["model.options"] = {"input_statistics": "none"}
    check_values(make_config(changes={**changes, f"data.{key}": value}))
