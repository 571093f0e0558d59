"""Memory and time of a step with pictures on the device and on the host.

    python benchmarks/streaming.py --pictures=200000

Trains DANN with the paper's MNIST network on generated pictures of 32 by 32 pixels in three
colours, 64 + 64 a step, once with resident and once with streamed pictures, each in a process of
its own, and prints the peak memory of each and the ratio of their times. Streamed pictures are made
when they are read, so the memory is that of reading ahead alone.
"""

import multiprocessing
import resource
import sys
import time
from pathlib import Path

import numpy as np
from absl import app, flags

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

_PICTURES = flags.DEFINE_integer("pictures", 200_000, "Pictures of each domain.")
_STEPS = flags.DEFINE_integer("steps", 100, "Timed steps, after as many that are not.")
_BYTES = flags.DEFINE_integer("bytes", 2**26, "config.runtime.stream_bytes.")


class Pictures:
    """Pictures that are computed from their row."""

    dtype = np.dtype(np.uint8)

    def __init__(self, count: int):
        """Makes `count` pictures that take no memory."""
        self.shape = (count, 32, 32, 3)
        self.pattern = np.arange(32 * 32 * 3, dtype=np.uint32).reshape(32, 32, 3)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """Makes the pictures of some rows."""
        rows = np.asarray(rows, np.uint32).reshape(-1, 1, 1, 1)
        return ((self.pattern[None] * (rows % 251) + rows) >> 3).astype(np.uint8)


def measure(streamed: bool, count: int, num_steps: int, num_bytes: int, results) -> None:
    """Trains, and reports seconds a step and peak memory in GiB."""
    from common.data.stream import Stream
    from common.training.hparam import make_hparams
    from common.training.population import make_program
    from configs import base, catalogue
    from dann.method import make_method

    config = base.get_config()
    catalogue.set_method(config, "dann")
    config.num_steps = 2 * num_steps
    config.model.name, config.model.normalization = "lenet", "none"
    config.data.split_seed = 0
    config = config.to_dict()
    rows = np.arange(count, dtype=np.int32)[None]
    images = {role: Pictures(count) for role in ("source", "target")}
    tables = {
        role: {
            "label": (rows[0] % 10).astype(np.int32),
            "maximum": np.float32(255),
            "train": rows,
            "val": rows[:, :100],
            "test": rows[:, :100],
        }
        for role in images
    }
    tables["source"]["mean"] = np.zeros((1, 1, 1, 1, 1), np.float32)
    stream = Stream(images, num_bytes, 4) if streamed else None
    if not streamed:
        for role, table in tables.items():
            table["image"] = images[role][rows[0]]
    program = make_program(make_method(config, 10), config, tables, 1, (), stream=stream)
    hparams = {name: np.stack([value]) for name, value in make_hparams(config).items()}
    state = program.create(hparams, tables)
    state, metrics = program.chunk(state, tables, 0, num_steps)
    np.asarray(metrics["loss"])
    began = time.perf_counter()
    _, metrics = program.chunk(state, tables, num_steps, num_steps)
    np.asarray(metrics["loss"])
    seconds = (time.perf_counter() - began) / num_steps
    program.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    results.put((seconds, peak / 2 ** (30 if sys.platform == "darwin" else 20)))


def main(_: list[str]) -> None:
    """Measures both paths."""
    context = multiprocessing.get_context("spawn")
    seconds = {}
    for name in ("resident", "streamed"):
        results = context.Queue()
        values = (_PICTURES.value, _STEPS.value, _BYTES.value)
        process = context.Process(target=measure, args=(name == "streamed", *values, results))
        process.start()
        seconds[name], peak = results.get()
        process.join()
        print(f"{name}: {1000 * seconds[name]:.1f} ms a step, peak memory {peak:.2f} GiB")
    print(f"streamed / resident: {seconds['streamed'] / seconds['resident']:.2f}")


if __name__ == "__main__":
    app.run(main)
