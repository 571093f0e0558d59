"""What tests of run folders share: a run small enough to train in a second."""

from typing import Any

from common.experiment import family, folder
from configs import base, catalogue
from dann.method import make_method as make_adaptation
from finetune.method import make_method as make_plain
from tests.config import tiny_digits


def make_method(config, num_classes):
    makers = {"dann": make_adaptation, "finetune": make_plain}
    return makers[config["package"]](config, num_classes)


def build(workdir, method, changes):
    config = tiny_digits.get_config(f"method={method}")
    config.runtime.workdir = str(workdir)
    config.runtime.tensorboard = False
    config.runtime.progress = False
    config.update_from_flattened_dict(changes)
    return config


def tiny(workdir, method="dann", /, **changes: Any):
    return folder.resolve(build(workdir, method, changes))


def tiny_family(workdir, method, /, **changes: Any):
    """Returns the run that is trained first, if there is one, and the run."""
    return family.resolve_family(build(workdir, method, changes), {}, base.get_config(), catalogue)
