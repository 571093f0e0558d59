"""Two files of one's own texts, from the command's argument to results."""

import json

import numpy as np
import pytest

from common.data import reader
from common.experiment import family, folder
from common.experiment.check import check_population
from common.experiment.outcome import StopRequest, UsageError
from common.experiment.run import train_population
from common.experiment.single_run import train_family
from common.experiment.text_check import check_text
from configs import base, method_row, text
from tests.tiny import quick_compilation
from tests.tiny_run import make_method

GOOD, BAD = ("good", "great", "lovely", "fine"), ("bad", "awful", "poor", "dull")
NEUTRAL = {"books": "page author plot story chapter", "kitchen": "pan knife oven lid handle"}
SMALL = {
    **{"model.options.blocks": 1, "model.options.width": 16, "model.options.hidden": 16},
    **{"model.options.vocabulary_size": 40, "data.vocabulary_size": 40, "data.max_tokens": 8},
    **{"num_steps": 60, "evaluation.every": 30, "runtime.log_every": 30, "data.batch_size": 16},
    **{"optimizer.learning_rate": 1e-2, "runtime.devices": 1, "runtime.tensorboard": False},
    **{"runtime.progress": False, "model.options.dropout": 0.0},
}


@pytest.fixture(autouse=True, scope="module")
def quick():
    with quick_compilation():
        yield


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two domains with words of their own and the same words of praise and blame."""
    place, draw = tmp_path_factory.mktemp("texts"), np.random.default_rng(0)
    for name, neutral in NEUTRAL.items():
        lines = ["text,label"]
        for index in range(200):
            label = ("negative", "positive")[index % 2]
            words = [*draw.choice(neutral.split(), 4), *draw.choice((BAD, GOOD)[index % 2], 2)]
            lines.append(f'"{" ".join(draw.permutation(words))}, {index}.",{label}')
        (place / f"{name}.csv").write_text("\n".join(lines))
    return place


def make_family(files, workdir, method, /, **changes):
    config = text.get_config(f"source={files}/books.csv,target={files}/kitchen.csv,method={method}")
    config.runtime.workdir = str(workdir)
    config.update_from_flattened_dict({**SMALL, **changes})
    if "domain_adversarial" in config.alignment:
        config.alignment.domain_adversarial.hidden = (8,)
    return family.resolve_family(config, {}, base.get_config(), method_row)


def result_of(config):
    return json.loads((folder.run_folder(config) / "result.json").read_text())


def test_a_population_learns_sentiment_across_domains(files, tmp_path):
    # Each seed has its own split, and with it its own words.
    runs = [make_family(files, tmp_path, "dann", seed=seed)[-1] for seed in (0, 1)]
    assert train_population(runs, make_method, StopRequest()) == {}
    for config in runs:
        result = result_of(config)
        last = result["selections"]["last"]
        assert last["source_val_accuracy"] > 0.9
        assert last["oracle/target_test_accuracy"] > 0.8
        assert result["classes"] == ["negative", "positive"]
        assert result["example_shape"] == [8]
    assert result_of(runs[0])["fingerprints"] != result_of(runs[1])["fingerprints"]


@pytest.mark.matrix
def test_fine_tuning_goes_on_from_the_source(files, tmp_path):
    changes = {"data.target_labels_per_class": 4, "runtime.data_path": "streamed"}
    runs = make_family(files, tmp_path, "fine_tune", **changes)
    train_family(runs, make_method, StopRequest())
    assert [own["method"] for own in runs] == ["source_only", "fine_tune"]
    assert result_of(runs[-1])["target_labels_seen"] == 8
    assert result_of(runs[-1])["selections"]["last"]["oracle/target_test_accuracy"] > 0.8


@pytest.mark.parametrize(
    ("method", "changes", "sentence"),
    [
        ("dann", {"data.center": "source"}, "config.data.center is 'source', which computes"),
        ("dann", {"data.scaling": "log"}, "config.data.scaling is 'log', which computes"),
        ("dann", {"objective.mixup": 0.5}, "config.objective.mixup is 0.5, which computes"),
        ("dann", {"data.vocabulary_size": 41}, "vocabulary_size is 40 and .* 41; they must be"),
        ("dann", {"data.max_tokens": 2}, "config.data.max_tokens is 2; it must be a whole number"),
        ("dann+virtual_adversarial", {}, "'virtual_adversarial', which moves inputs"),
        ("dann", {"model.name": "mlp", "model.options": {}}, "legal are text_transformer, lstm"),
    ],
)
def test_what_computes_with_inputs_is_refused(files, tmp_path, method, changes, sentence):
    changes = dict(changes)
    options = changes.pop("model.options", None)
    config = make_family(files, tmp_path, method, **changes)[-1]
    if options is not None:
        config["model"]["options"] = options
    with pytest.raises(UsageError, match=sentence):
        check_population([config], make_method)


def test_a_parent_with_other_words_is_refused(files, tmp_path):
    config = make_family(files, tmp_path, "source_only")[-1]
    # It looks the same from its shapes: only its words are others.
    about = {"config": {**config, "source": f"csv:{files}/kitchen.csv"}}
    (tmp_path / "config.json").write_text(json.dumps(about))
    config["init_from"]["run"] = str(tmp_path)
    with pytest.raises(
        ValueError, match="config.source is .* other texts give words other numbers"
    ):
        check_text(config)
    (tmp_path / "config.json").write_text(json.dumps({"config": config}))
    check_text(config)


def test_augmentations_of_pictures_are_refused(files, tmp_path):
    config = make_family(files, tmp_path, "dann")[-1]
    config["data"]["augment"] = {"flip": {"probability": 0.5}}
    with pytest.raises(UsageError, match=r"config.data.augment is .* which changes pictures"):
        check_population([config], make_method)


def test_networks_of_texts_take_no_pictures(files, tmp_path):
    config = make_family(files, tmp_path, "source_only")[-1]
    config |= {"source": "synthetic_digits", "target": "digits"}
    with pytest.raises(UsageError, match=r"'synthetic_digits' holds no texts \(csv:...\)"):
        check_population([config], make_method)


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("target=a.csv", "source is missing: write --config=configs/text.py:source=FILE.csv"),
        ("source=a.csv,target=b.csv,model=vit_s16", "model is 'vit_s16'; of texts there are"),
    ],
)
def test_wrong_arguments_are_refused(argument, sentence):
    with pytest.raises(ValueError, match=sentence):
        text.get_config(argument)


def test_the_grid_and_both_networks_have_configs():
    runs = []
    text.sweep(lambda argument, changes: runs.append((argument, changes)), "source=a,target=b")
    assert len(runs) == len(text.ROWS) * len(text.SEEDS)
    for argument, _ in runs:
        assert reader.is_text(text.get_config(argument).source)
    for model in text.MODELS:
        assert text.get_config(f"source=a,target=b,model={model}").model.name == model
