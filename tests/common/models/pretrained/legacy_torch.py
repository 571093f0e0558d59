"""Reads the tensors of a file that `torch.save` wrote before version 1.6, for tests alone.

Such a file is five pickles and then raw numbers: a magic number, a version, the writer's system,
the object, the keys of its storages in order, and each storage as a count of 8 bytes and its
elements. Only the names in `ALLOWED` are ever looked up.
"""

import io
import pickle
from collections import OrderedDict

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C


def _rebuild(storage, offset, size, stride):
    return ("tensor", storage, offset, size, stride)


ALLOWED = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor"): _rebuild,
    ("torch._utils", "_rebuild_tensor_v2"): lambda *own: _rebuild(*own[:4]),
    ("torch", "FloatStorage"): np.dtype("<f4"),
    ("torch", "LongStorage"): np.dtype("<i8"),
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed")
        return ALLOWED[module, name]

    def persistent_load(self, pid):
        _, dtype, key, _, count, _ = pid
        return key, dtype, count


def read(path):
    """Returns the state dict of a checkpoint as arrays by name."""
    stream = io.BytesIO(path.read_bytes())
    assert _Unpickler(stream).load() == MAGIC
    for _ in range(2):
        _Unpickler(stream).load()
    content, keys = (_Unpickler(stream).load() for _ in range(2))
    tensors = content["state_dict"]
    dtypes = {tensor[1][0]: tensor[1][1] for tensor in tensors.values()}
    storages = {}
    for key in keys:
        count = int.from_bytes(stream.read(8), "little")
        storages[key] = np.frombuffer(stream.read(count * dtypes[key].itemsize), dtypes[key])
    assert not stream.read()
    return {
        name: np.lib.stride_tricks.as_strided(
            storages[storage[0]][offset:],
            size,
            [step * storage[1].itemsize for step in stride],
            writeable=False,
        )
        for name, (_, storage, offset, size, stride) in tensors.items()
    }
