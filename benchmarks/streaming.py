"""Memory and time of a step with pictures on the device and on the host.

    python benchmarks/streaming.py --pictures=200000 --wait

Trains DANN with the paper's MNIST network on generated pictures of 32 by 32 pixels in three
colours, 64 + 64 a step, once with resident and once with streamed pictures, each in a process of
its own, which take turns, and prints the peak memory of each and the ratio of their times. Streamed
pictures are made when they are read, so the memory is that of reading ahead alone. With `--wait`
also the share of its time that the device waits for streamed pictures: what a step takes longer
than the same step on pictures that are there. Where the device is the processor, making and copying
pictures takes time of the same cores, which counts as waiting.
"""

import multiprocessing
import resource
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from absl import app, flags

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

_PICTURES = flags.DEFINE_integer("pictures", 200_000, "Pictures of each domain.")
_STEPS = flags.DEFINE_integer("steps", 100, "Timed steps of a round, after as many that are not.")
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Timed rounds of so many steps, in turns.")
_WAIT = flags.DEFINE_bool("wait", False, "Print the share of time that the device waits.")
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


def measure(streamed: bool, count: int, num_steps: int, num_bytes: int, connection) -> None:
    """Trains whenever it is asked to; reports seconds a step and peak memory in GiB."""
    from common.data.stream import Stream
    from common.training.hparam import make_hparams
    from common.training.population import make_program
    from configs import base, method_row
    from dann.method import make_method

    config = base.get_config()
    method_row.set_method(config, "dann")
    config.num_steps = 1000 * num_steps
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
    step = 0
    while connection.recv():
        began = time.perf_counter()
        state, metrics = program.chunk(state, tables, step, num_steps)
        np.asarray(metrics["loss"])
        step += num_steps
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        seconds = (time.perf_counter() - began) / num_steps
        connection.send((seconds, peak / 2 ** (30 if sys.platform == "darwin" else 20)))
    program.close()


def main(_: list[str]) -> None:
    """Measures both paths."""
    context = multiprocessing.get_context("spawn")
    connections, processes = {}, []
    for name in ("resident", "streamed"):
        connections[name], end = context.Pipe()
        values = (_PICTURES.value, _STEPS.value, _BYTES.value)
        processes.append(
            context.Process(target=measure, args=(name == "streamed", *values, end), daemon=True)
        )
        processes[-1].start()
    seconds = {name: [] for name in connections}
    peaks = {}
    for number in range(_ROUNDS.value + 1):
        for name, connection in connections.items():
            connection.send(True)
            taken, peaks[name] = connection.recv()
            # The first round compiles.
            if number:
                seconds[name].append(taken)
    for connection in connections.values():
        connection.send(False)
    for process in processes:
        process.join()
    for name, own in seconds.items():
        middle = 1000 * statistics.median(own)
        print(f"{name}: {middle:.1f} ms a step, peak memory {peaks[name]:.2f} GiB")
    pairs = list(zip(seconds["streamed"], seconds["resident"], strict=True))
    print(f"streamed / resident: {statistics.median(own / other for own, other in pairs):.2f}")
    if _WAIT.value:
        share = statistics.median(max(0.0, 1 - other / own) for own, other in pairs)
        print(f"the device waits {share:.0%} of the time")


if __name__ == "__main__":
    app.run(main)
