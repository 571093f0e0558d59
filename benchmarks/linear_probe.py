"""Time of a step of a linear probe on stored features and on pictures.

    python benchmarks/linear_probe.py --model=cifar_resnet20 --size=8

Trains the head of a network whose extractor is frozen, 64 generated pictures a step, once from the
features that are computed before step 0, and once by pushing the pictures through the extractor in
every step. The two take turns in one process, a chunk of steps each; of each the median counts.
"""

import statistics
import sys
import time
from pathlib import Path

import numpy as np
from absl import app, flags

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

_MODEL = flags.DEFINE_string("model", "cnn", "config.model.name.")
_SIZE = flags.DEFINE_integer("size", 8, "Height and width of the pictures.")
_CHANNELS = flags.DEFINE_integer("channels", 1, "Channels of the pictures.")
_PICTURES = flags.DEFINE_integer("pictures", 900, "Pictures of the training split.")
_STEPS = flags.DEFINE_integer("steps", 50, "Steps of a chunk.")
_CHUNKS = flags.DEFINE_integer("chunks", 5, "Timed chunks of each kind, after one that is not.")


def make_program(caches: bool):
    """Returns the program of a probe, its state before step 0, and its data."""
    from common.training.hparam import make_hparams
    from common.training.population import make_program
    from configs import base, method_row
    from finetune.method import make_method

    config = method_row.set_method(base.get_config(), "linear_probe")
    config.num_steps = _STEPS.value * (_CHUNKS.value + 1)
    config.model.name, config.model.normalization = _MODEL.value, "joint"
    config.transfer.cache_features = caches
    config.data.split_seed = 0
    config = config.to_dict()
    draw, count = np.random.default_rng(0), _PICTURES.value
    rows = np.arange(count, dtype=np.int32)[None]
    shape = (count, _SIZE.value, _SIZE.value, _CHANNELS.value)
    tables = {
        role: {
            "image": draw.integers(0, 256, shape, dtype=np.uint8),
            "label": (rows[0] % 10).astype(np.int32),
            "maximum": np.float32(255),
            "train": rows,
            "val": rows[:, :100],
            "test": rows[:, :100],
        }
        for role in ("source", "target")
    }
    tables["source"]["mean"] = np.zeros((1, 1, 1, 1, 1), np.float32)
    program = make_program(make_method(config, 10), config, tables, 1, ())
    hparams = {name: np.stack([value]) for name, value in make_hparams(config).items()}
    return program, program.create(hparams, tables), tables


def main(arguments: list[str]) -> None:
    """Measures both in turn."""
    del arguments
    runs = {name: make_program(name == "features") for name in ("features", "pictures")}
    states = {name: run[1] for name, run in runs.items()}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    program, state, tables = runs["features"]
    began = time.perf_counter()
    states["features"] = program.refresh(state, tables)
    np.asarray(states["features"].step)
    print(f"features, computed once: {time.perf_counter() - began:.2f} s with compilation")
    for chunk in range(_CHUNKS.value + 1):
        for name, (program, _, tables) in runs.items():
            began = time.perf_counter()
            first = chunk * _STEPS.value
            states[name], metrics = program.chunk(states[name], tables, first, _STEPS.value)
            np.asarray(metrics["loss"])
            seconds[name].append((time.perf_counter() - began) / _STEPS.value)
    steps = {name: statistics.median(own[1:]) for name, own in seconds.items()}
    for name, own in steps.items():
        print(f"{name}: {1000 * own:.3f} ms a step")
    print(f"pictures / features: {steps['pictures'] / steps['features']:.1f}")


if __name__ == "__main__":
    app.run(main)
