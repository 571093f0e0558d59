"""Tests of the configs of prepared data and of folders: every run of every grid resolves."""

import re

import pytest

from common.experiment import check, folder
from configs import amazon_reviews, base, class_map, digits, image_folder, method_row
from configs.ablations import amazon_strength
from configs.studies import mnist_family


def every_run(module, argument=""):
    runs = []

    def add(argument="", changes=None):
        config = module.get_config(argument)
        config.update_from_flattened_dict(dict(changes or {}))
        check.check_keys(config.to_dict(), base.get_config().to_dict())
        method_row.check_method(config)
        resolved = folder.resolve(config)
        check.check_values(resolved)
        runs.append(resolved)

    module.sweep(add, *([argument] if argument else []))
    assert len({folder.run_id(run) for run in runs}) == len(runs)
    return runs


@pytest.mark.parametrize("protocol", digits.PAIR_ROWS)
@pytest.mark.parametrize(
    ("source", "target", "model", "channels"),
    [
        ("mnist", "mnist_m", "lenet", 3),
        ("mnist", "mnist_m/generated", "lenet", 3),
        ("mnist", "usps", "lenet", 1),
        ("usps", "mnist", "lenet", 1),
        ("svhn", "mnist", "svhn_net", 3),
        ("synthetic_numbers", "svhn", "svhn_net", 3),
    ],
)
def test_a_pair_has_every_row_and_one_network(source, target, model, channels, protocol):
    runs = every_run(digits, f"source={source},target={target},protocol={protocol}")
    assert {run["method"] for run in runs} == set(digits.PAIR_ROWS[protocol])
    assert {run["seed"] for run in runs} == set(digits.PAIR_SEEDS)
    for run in runs:
        assert (run["source"], run["target"]) == (digits.SETS[source], digits.SETS[target])
        assert run["model"] == runs[0]["model"]
        assert run["model"]["name"] == model
        for key in ("size", "fit", "center", "augment", "batch_size", "val_share"):
            assert run["data"][key] == runs[0]["data"][key]
        assert run["data"]["channels"] == channels


def test_generated_pictures_take_the_place_of_the_published_ones_and_keep_runs_of_their_own():
    for module, experiment in ((digits, "{}"), (mnist_family, "study_{}")):
        published, generated = (
            module.get_config(f"source=mnist,target={target}").to_dict()
            for target in ("mnist_m", "mnist_m/generated")
        )
        assert published["experiment"] == experiment.format("mnist_to_mnist_m")
        assert generated.pop("experiment") == f"{published.pop('experiment')}_generated"
        assert generated == published | {"target": "tfds:mnist_m/generated"}


def test_the_papers_protocol_is_its_own():
    config = digits.get_config("source=mnist,target=mnist_m")
    optimizer = config.optimizer
    assert (optimizer.name, optimizer.learning_rate, optimizer.momentum) == ("sgd", 0.01, 0.9)
    assert (optimizer.schedule, optimizer.gamma, optimizer.power) == ("inverse_power", 10, 0.75)
    assert config.model.normalization == "none"
    assert (config.data.size, config.data.fit, config.data.center) == (28, "center", "none")
    term = config.alignment.domain_adversarial
    assert (term.strength, term.schedule, term.gamma) == (1.0, "ramp", 10.0)
    assert (tuple(term.hidden), term.scale_discriminator) == ((100,), False)
    # No annealing from SVHN to MNIST, as in the paper.
    assert digits.get_config("source=svhn,target=mnist").optimizer.schedule == "constant"


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("source=mnist", "target is ''; legal are mnist"),
        ("source=mnsit,target=mnist_m", "source is 'mnsit'; legal are"),
        ("source=mnist,target=mnist_m,protocol=old", "protocol is 'old'; legal are paper, modern"),
    ],
)
def test_a_pair_that_does_not_exist_is_refused(argument, message):
    with pytest.raises(ValueError, match=message):
        digits.get_config(argument)


def test_reviews_have_twelve_pairs_with_every_row():
    runs = every_run(amazon_reviews)
    assert len({(run["source"], run["target"]) for run in runs}) == 12
    assert len(runs) == 12 * len(amazon_reviews.ROWS) * len(amazon_reviews.SEEDS)
    one = every_run(amazon_reviews, "source=books,target=dvd")
    assert {run["target"] for run in one} == {"tfds:amazon_reviews/dvd"}
    paper = every_run(amazon_reviews, "protocol=paper")
    assert {run["data"]["batch_size"] for run in paper} == {1}
    assert {run["experiment"] for run in paper} == {"amazon_reviews_paper"}


def test_strengths_are_chosen_on_a_seed_that_is_reported_nowhere():
    runs = every_run(amazon_strength)
    assert {run["seed"] for run in runs}.isdisjoint(amazon_reviews.SEEDS)
    assert all(run["evaluation"]["reverse_validation"] for run in runs)


def test_folders_are_named_by_the_argument():
    (run, *_) = every_run(image_folder, "source=photos/clean,target=photos/web cam")
    assert (run["source"], run["target"]) == ("folder:photos/clean", "folder:photos/web cam")
    with pytest.raises(ValueError, match="target is missing: write --config=configs/image_folder"):
        image_folder.get_config("source=a")


@pytest.mark.parametrize(
    ("shared", "num_renamed", "num_classes"),
    [(class_map.CIFAR_AND_STL, 1, 9), (class_map.CIFAR_AND_CORRUPTED, 10, 0)],
)
def test_class_maps_are_values_of_a_config(shared, num_renamed, num_classes):
    config = base.get_config()
    config.data.update(shared)
    check.check_values(folder.resolve(config))
    assert len(config.data.rename_classes) == num_renamed
    assert len(config.data.classes) == num_classes


@pytest.mark.parametrize(
    ("module", "argument", "said"),
    [
        (amazon_reviews, "target=dvd", "source is ''"),
        (amazon_reviews, "source=dvd", "target is ''"),
        (digits, "protocol=modern", "source is ''"),
        (digits, "source=mnist", "target is ''"),
        (image_folder, "source=a,target=b,method=dann", "'method=dann' is no argument"),
    ],
)
def test_a_sweep_refuses_an_argument_that_it_would_ignore(module, argument, said):
    def add(argument="", changes=None):
        module.get_config(argument)

    with pytest.raises(ValueError, match=re.escape(said)):
        module.sweep(add, argument)
