"""One of two processes that train one run: `python -m tests.process NUMBER PORT FILE`."""

import os
import sys


def main(number: int, port: str, file: str) -> None:
    import jax

    jax.config.update("jax_num_cpu_devices", 2)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"127.0.0.1:{port}", 2, number)

    import numpy as np

    from common.data.stream import Stream
    from common.training import parallel
    from common.training.hparam import make_hparams
    from common.training.member import OF_MEMBERS
    from tests import coupled, tiny

    class Pictures:
        def __init__(self, array):
            self.array, self.shape, self.dtype, self.sizes = array, array.shape, array.dtype, set()

        def __getitem__(self, rows):
            self.sizes.add(len(rows))
            return self.array[rows]

    config = coupled.make_config("dann", {"model.normalization": "separate"})
    tables, placement = tiny.make_tables(), parallel.make_placement(1, 0, 8)
    pictures = {role: Pictures(table.pop("image")) for role, table in tables.items()}
    tables = {
        role: {
            name: parallel.place(
                array, placement.members if name in OF_MEMBERS else placement.shared
            )
            for name, array in table.items()
        }
        for role, table in tables.items()
    }
    run = tiny.make_run(
        config,
        method=coupled.make_method("dann", config),
        tables=tables,
        stream=Stream(pictures, 2**20, 2),
        placement=placement,
    )
    hparams = {name: np.stack([value]) for name, value in make_hparams(config).items()}
    state = run.program.create(parallel.place(hparams, placement.members), run.tables)
    state, _ = run.program.chunk(state, run.tables, 0, 3)
    run.program.close()
    sizes = np.asarray(sorted(pictures["source"].sizes | pictures["target"].sizes))
    arrays: dict = {path.replace("/", "|"): leaf for path, leaf in tiny.params_of(state).items()}
    np.savez(file, sizes=sizes, **arrays)


if __name__ == "__main__":
    os.environ.update(JAX_PLATFORMS="cpu", JAX_NUMPY_RANK_PROMOTION="raise")
    main(int(sys.argv[1]), *sys.argv[2:])
