import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from common.data import catalogue
from common.data.builder import find_builder
from common.data.data_name import Name, parse_name, prepare_command, resolve_data_dir

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", catalogue.OWN_BUILDERS)
def test_every_own_builder_is_there_and_has_its_name(name):
    assert importlib.util.find_spec(catalogue.OWN_BUILDERS[name]) is not None
    builder, configs = find_builder(Name(name, "", ""))
    assert builder.name == name
    assert configs == (
        [catalogue.DEFAULT_CONFIGS[name]]
        if name in catalogue.DEFAULT_CONFIGS
        else ([own.name for own in builder.BUILDER_CONFIGS] or [""])
    )


def test_every_folder_of_a_builder_is_in_the_catalogue():
    folders = {
        file.parent.name for file in ROOT.glob("common/data/builders/*/*_dataset_builder.py")
    }
    assert folders == set(catalogue.OWN_BUILDERS)


@pytest.mark.parametrize("name", catalogue.CATALOGUE_EXAMPLES)
def test_the_examples_are_in_the_catalogue_of_tfds(name):
    builder, configs = find_builder(parse_name(name))
    assert builder.__module__.startswith("tensorflow_datasets.")
    assert configs == [name.partition("/")[2]]


def test_the_names_are_found_without_tensorflow_and_without_the_builders():
    code = (
        "import sys\n"
        "from common.data import catalogue\n"
        "print(len(catalogue.catalogue_names()) > 100, 'tensorflow' in sys.modules)\n"
        "print([name for name in sys.modules if name.startswith('common.data.builders')])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split("\n")[:2] == ["True False", "[]"], done.stderr


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("mnits", "there is no data set 'mnits'; did you mean 'mnist'"),
        ("svhn_croped", "did you mean 'svhn_cropped'"),
        ("office31/amazn", "office31 has no part 'amazn' but office31/amazon, "),
        ("usps/all", "usps has no parts; write usps instead of usps/all"),
        ("cifar10_corrupted", "cifar10_corrupted has parts, of which one has to be named: "),
        ("cifar10_corrupted/foog_3", "no part 'foog_3' but cifar10_corrupted/fog_3, "),
        ("usps:9.0.0", "usps:9.0.0 cannot be prepared; its builder makes version 1.0.0"),
        ("stl10:9.0.0", "stl10:9.0.0 cannot be prepared; its builder makes version 1.0.0"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(name, sentence):
    with pytest.raises(ValueError) as caught:
        find_builder(parse_name(name))
    assert sentence in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_version_of_the_catalogue_means_the_builder_of_the_catalogue():
    own, _ = find_builder(parse_name("mnist"))
    other, _ = find_builder(parse_name("mnist:3.0.1"))
    assert own.__module__.startswith("common.")
    assert other.__module__.startswith("tensorflow_datasets.")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("mnist", Name("mnist", "", "")),
        ("tfds:office31/amazon", Name("office31", "amazon", "")),
        ("a/b-c.d:1.0.0", Name("a", "b-c.d", "1.0.0")),
    ],
)
def test_names_are_taken_apart(text, name):
    assert parse_name(text) == name


@pytest.mark.parametrize("text", ["", "../x", "a/../b", "a/b/c", "a:1.0", "/a", "a b", "a/.b"])
def test_what_is_no_name_is_refused(text):
    with pytest.raises(ValueError, match="names no data set; write it like mnist"):
        parse_name(text)


def test_the_data_folder_is_the_one_of_tfds_by_default(monkeypatch, tmp_path):
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    assert resolve_data_dir("") == Path.home() / "tensorflow_datasets"
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert resolve_data_dir("") == tmp_path
    assert resolve_data_dir("~/x") == Path.home() / "x"
    assert prepare_command("mnist", "") == "python launch.py prepare --dataset=mnist"
    assert prepare_command("mnist", "a b").endswith("--dataset=mnist '--data_dir=a b'")
