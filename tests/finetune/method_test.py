"""Tests of plain supervised training."""

import numpy as np
import pytest

from configs import transfer
from configs.catalogue import PLAIN, PRETRAINING
from finetune.method import WITHOUT_HEAD, make_method
from tests import tiny


@pytest.mark.parametrize("row", PLAIN)
def test_a_batch_holds_pictures_and_the_labels_that_may_be_seen(row):
    method = make_method(tiny.make_config(row), tiny.NUM_CLASSES)
    assert method.needs == {
        domain: ("image",) if domain == "target" else ("image", "label") for domain in PLAIN[row]
    }
    assert len(method.phases) == 1 and method.refresh is None


def test_training_on_the_labelled_target_fits_it():
    changes = {"num_steps": 300}
    run = tiny.make_run(tiny.make_config("train_on_target", changes))
    state, metrics = run.program.chunk(tiny.start(run), run.tables, 0, 300)
    losses = np.asarray(metrics["loss"])[0]
    assert losses[:5].mean() > 0.8 and losses[-5:].mean() < 0.3
    outputs = run.program.outputs(state, run.tables, "target", "train")
    labels = run.tables["target"]["label"][run.tables["target"]["train"][0]]
    assert (np.argmax(outputs.logits[0], 1) == labels).mean() > 0.9


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("domains", ["target"], "no labels to learn from"),
        ("domains", ["targets"], "the domain 'targets'"),
        ("name", "vgg", "config.model.name is 'vgg'; .*legal are"),
        ("normalization", "batch", "config.model.normalization is 'batch'; legal are"),
        ("options", {"width": 3}, "config.model.options.width is unknown"),
    ],
)
def test_what_does_not_exist_is_refused(key, value, message):
    config = tiny.make_config()
    (config if key == "domains" else config["model"])[key] = value
    with pytest.raises(ValueError, match=message):
        make_method(config, tiny.NUM_CLASSES)


@pytest.mark.parametrize("row", ["distillation", "co_tuning"])
def test_the_old_predictions_are_of_a_head_that_learned_something(row):
    given = transfer.get_config(f"pictures=p,weights=w.npz,model=cifar_resnet20,method={row}")
    config = tiny.make_config(row)
    starts = config["init_from"] | given.init_from.to_dict()

    def make(**changes):
        make_method({**config, "init_from": starts | changes}, tiny.NUM_CLASSES)

    with pytest.raises(ValueError, match="set config.init_from.head=True where"):
        make()
    make(head=True)
    # The file is where that row starts, and the head is what it learns.
    make(method="linear_probe")
    assert set(WITHOUT_HEAD) == set(PRETRAINING)
    with pytest.raises(ValueError, match="method is 'autoencoder', which trains no head"):
        make(method="autoencoder", weights="")
