"""A worker of the speed benchmark: Adaptax.

Reads requests as lines of JSON, answers each by one. `speed.py` starts it.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from benchmarks.plain_config import stand_in  # noqa: E402
from benchmarks.speed_case import (  # noqa: E402
    AUGMENT,
    CASES,
    EVALUATION_BATCH,
    NUM_STEPS,
    Case,
)


def make_config(case: Case, precision: str, augments: bool = False) -> dict[str, Any]:
    """Writes a case as a config.

    Args:
        case: The case.
        precision: `config.model.dtype`.
        augments: Whether pictures are moved at random.

    Returns:
        All keys.
    """
    stand_in()
    from configs import base, method_row

    config = base.get_config()
    method_row.set_method(config, "dann")
    config.num_steps = NUM_STEPS
    config.model.name, config.model.normalization = case.model, case.normalization
    config.model.options, config.model.dtype = case.options, precision
    config.model.task_head = {"hidden": case.head}
    config.alignment.domain_adversarial.hidden = case.discriminator
    config.optimizer.name, config.optimizer.learning_rate = case.optimizer, case.learning_rate
    config.optimizer.schedule = "inverse_power" if case.annealed else "constant"
    config.optimizer.ema_decay = case.ema_decay
    config.data.batch_size = case.batch
    config.data.augment = AUGMENT if augments else {}
    config.runtime.evaluation_batch_size = EVALUATION_BATCH
    return config.to_dict()


def make_tables(case: Case, num_members: int) -> dict[str, Any]:
    """Draws pictures and labels; every member has an order of its own.

    Args:
        case: The case.
        num_members: Size of the population.

    Returns:
        The tables of both domains.
    """
    import numpy as np

    draw, tables = np.random.default_rng(0), {}
    count = case.examples + case.evaluated
    for role in ("source", "target"):
        rows = np.stack([draw.permutation(count).astype(np.int32) for _ in range(num_members)])
        tables[role] = {
            "image": draw.integers(
                *(0, 256, (count, case.size, case.size, case.channels)), dtype=np.uint8
            ),
            "label": draw.integers(0, case.classes, count).astype(np.int32),
            "maximum": np.float32(255),
            "train": rows[:, : case.examples],
            "val": rows[:, case.examples :],
            "test": rows[:, case.examples :],
        }
    tables["source"]["mean"] = np.zeros((num_members, 1, 1, 1, 1), np.float32)
    return tables


class Training:
    """A population that trains as long as it is asked to."""

    def __init__(self, case: Case, precision: str, num_members: int, augments: bool):
        """Builds the program; nothing is compiled yet.

        Args:
            case: What to train.
            precision: `config.model.dtype`.
            num_members: Size of the population.
            augments: Whether pictures are moved at random.
        """
        import jax
        import numpy as np

        from common.training import parallel
        from common.training.hparam import make_hparams
        from common.training.member import OF_MEMBERS
        from common.training.population import make_program
        from dann.method import make_method

        parallel.use_processor_cores()
        config = make_config(case, precision, augments)
        placement = parallel.make_placement(num_members, 0)
        self.tables = {
            role: {
                name: parallel.place(
                    array, placement.members if name in OF_MEMBERS else placement.shared
                )
                for name, array in table.items()
            }
            for role, table in make_tables(case, num_members).items()
        }
        method = make_method(config, case.classes)
        self.program = make_program(
            method, config, self.tables, num_members, (), placement=placement
        )
        hparams = {
            name: np.stack([value] * num_members) for name, value in make_hparams(config).items()
        }
        hparams["seed"] = np.arange(num_members, dtype=np.uint32)
        hparams = parallel.place(hparams, placement.members)
        self.state = parallel.place(self.program.create(hparams, self.tables), placement.members)
        self.step, self.device = 0, jax.devices()[0]

    def train(self, count: int) -> None:
        """Takes some steps in one dispatch."""
        import numpy as np

        self.state, metrics = self.program.chunk(self.state, self.tables, self.step, count)
        self.step += count
        loss = np.asarray(metrics["loss"])
        assert np.isfinite(loss).all(), loss

    def evaluate(self) -> None:
        """Passes over the target's test split."""
        import jax

        jax.block_until_ready(self.program.outputs(self.state, self.tables, "target", "test"))

    def about(self) -> dict[str, Any]:
        """Tells what was trained, where, and how much memory that took."""
        import jax
        import numpy as np

        leaves = jax.tree.leaves(self.state.params)
        memory = (self.device.memory_stats() or {}).get("peak_bytes_in_use")
        return {
            "parameters": sum(int(np.prod(leaf.shape[1:])) for leaf in leaves),
            "peak_memory": memory or peak_of_process(),
            "version": f"jax {jax.__version__}",
            "platform": self.device.platform,
            "device": self.device.device_kind,
        }


def peak_of_process() -> int:
    """Returns the largest memory that this process took so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024)


def serve(training: Any) -> None:
    """Answers requests until the input ends: `{"do": "train" | "evaluate" | "about", …}`.

    Args:
        training: What is measured.
    """
    answers = sys.stdout
    # Whatever else is printed is no answer.
    sys.stdout = sys.stderr
    for line in sys.stdin:
        request = json.loads(line)
        began, answer = time.perf_counter(), {}
        if request["do"] == "train":
            training.train(request["steps"])
        elif request["do"] == "evaluate":
            training.evaluate()
        else:
            answer = training.about()
        answer["seconds"] = time.perf_counter() - began
        print(json.dumps(answer), file=answers, flush=True)


def train_whole(training: Training, num_steps: int) -> None:
    """Trains as a run does: an evaluation every 200 steps, a record every 100.

    Args:
        training: The population.
        num_steps: Steps.
    """
    from common.training.loop import run_loop

    boundaries = run_loop(
        *(training.program, training.state, training.tables),
        first_step=0,
        num_steps=num_steps,
        log_every=100,
        evaluate_every=200,
        choose=lambda step, train, evaluation: {},
    )
    assert [boundary.step for boundary in boundaries][-1] == num_steps


def main() -> None:
    """Serves a case, or trains one from the beginning to the end."""
    name, precision, num_members, whole, cache = sys.argv[1:]
    if cache:
        from common.experiment.compilation_cache import use_compilation_cache

        use_compilation_cache(cache, print)
    training = Training(CASES[name], precision, int(num_members), whole != "0")
    if int(whole):
        train_whole(training, int(whole))
    else:
        serve(training)


if __name__ == "__main__":
    main()
