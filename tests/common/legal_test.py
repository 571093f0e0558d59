"""What a config may say."""

import math

import pytest

from common.legal import check_count, check_keys, check_name, check_number, suggest


def test_a_legal_name_passes():
    check_name("config.model.name", "lenet", {"lenet": 1, "mlp": 2})


def test_a_wrong_name_is_told_with_the_key_the_value_the_nearest_and_all_legal_ones():
    with pytest.raises(ValueError) as error:
        check_name("config.model.name", "lennet", ("cnn", "lenet"))
    assert str(error.value) == (
        "config.model.name is 'lennet'; did you mean 'lenet'? legal are cnn, lenet"
    )


def test_a_name_far_from_all_gets_no_suggestion():
    assert suggest("xyz", ("cnn", "lenet")) == "legal are cnn, lenet"
    assert suggest("xyz", ()) == "legal are none"


@pytest.mark.parametrize("value", [None, 3, ["lenet"], {"lenet": 1}])
def test_what_is_no_text_is_no_name(value):
    with pytest.raises(ValueError, match="config.model.name is .*legal are lenet"):
        check_name("config.model.name", value, {"lenet": 1})


def test_unknown_and_missing_options_are_told():
    check_keys("config.x", {"a": 1, "b": 2}, ("a", "b", "c"), ("a",))
    with pytest.raises(ValueError, match=r"config\.x\.widht is unknown; did you mean 'width'\?"):
        check_keys("config.x", {"widht": 1}, ("width",))
    with pytest.raises(ValueError, match=r"config\.x\.depth is missing; config\.x needs depth, w"):
        check_keys("config.x", {"width": 1}, ("width", "depth"), ("depth", "width"))


@pytest.mark.parametrize("value", [0, -1, 1.5, "2", True, None])
def test_what_is_no_count_is_refused(value):
    check_count("config.num_steps", 1)
    with pytest.raises(ValueError, match="config.num_steps is .* at least 1"):
        check_count("config.num_steps", value)


def test_a_count_may_begin_elsewhere():
    check_count("config.runtime.devices", 0, least=0)
    with pytest.raises(ValueError, match="at least 2"):
        check_count("config.x", 1, least=2)


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf, -math.inf, "1", False, None])
def test_a_number_must_be_finite_and_not_negative(value):
    check_number("config.x", 0)
    check_number("config.x", 3.5)
    with pytest.raises(ValueError, match="config.x is .*be a finite number of at least 0"):
        check_number("config.x", value)


def test_the_ends_of_a_range_are_kept():
    check_number("config.x", 1, most=1)
    with pytest.raises(ValueError, match=r"lie in \[0, 1\]"):
        check_number("config.x", 1.01, most=1)
    check_number("config.x", 0.99, below=1)
    with pytest.raises(ValueError, match=r"lie in \[0, 1\)"):
        check_number("config.x", 1.0, below=1)
    check_number("config.x", -5, least=-math.inf)
    with pytest.raises(ValueError, match="be a finite number$"):
        check_number("config.x", math.nan, least=-math.inf)
