"""Who may import whom, and which modules may touch files, devices and heavy packages.

A rule takes the path of a file (from the project's root, with slashes) and its source, and returns
one sentence for each line that breaks it.
"""

import ast
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ("common/", "configs/", "dann/", "finetune/", "benchmarks/", "launch.py")

CONFIGS_MAY_IMPORT = ("configs", "ml_collections", "typing")
LAYERS = {
    "common/": ("dann", "finetune", "configs", "launch"),
    "dann/": ("finetune", "configs", "launch"),
    "finetune/": ("dann", "configs", "launch"),
}

# These compute only; reading and writing belong to common/experiment and common/data.
WITHOUT_FILES = ("common/models/", "common/evaluation/", "common/training/step.py")
FILE_NAMES = (
    *("glob", "json", "open", "orbax", "os", "pathlib", "pickle", "shutil", "tempfile"),
    *("etils.epath", "numpy.fromfile", "numpy.load", "numpy.loadtxt", "numpy.memmap"),
    *("numpy.save", "numpy.savetxt", "numpy.savez", "numpy.savez_compressed"),
)
FILE_METHODS = ("open", "read_bytes", "read_text", "savefig", "tofile", "write_bytes", "write_text")

DEVICE_MODULE = "common/training/parallel.py"
DEVICE_NAMES = (
    *("jax.device_count", "jax.devices", "jax.local_device_count", "jax.local_devices"),
    *("jax.make_mesh", "jax.pmap", "jax.shard_map", "jax.sharding"),
    *("jax.experimental.shard_map", "jax.lax.with_sharding_constraint"),
)

MODEL_FILES = ("common/models/", "dann/discriminator.py")

# They take long to import or are missing on some machines.
HEAVY = (
    *("clu", "grain", "huggingface_hub", "matplotlib", "optuna", "rich", "sklearn", "submitit"),
    *("tensorboardX", "tensorflow_datasets", "torch"),
)
# A TFDS builder is a subclass of one of its classes, and TFDS alone imports its file.
BUILDERS = ("common/data/builders/",)

# The modules of clu import TensorFlow themselves.
TENSORFLOW = (
    *("tensorflow", "clu.checkpoint", "clu.deterministic_data", "clu.metric_writers"),
    *("clu.periodic_actions", "clu.preprocess_spec"),
)


class Reference(NamedTuple):
    """A dotted name in a file, aliases resolved; it starts with a dot where its root is no module.

    After `import jax.numpy as jnp`, `jnp.ones` is `jax.numpy.ones`; `Path(x).open` is `.open`.
    """

    name: str
    line: int
    is_import: bool
    at_module_level: bool


def is_in(path: str, places: tuple[str, ...]) -> bool:
    return any(
        path == place or (place.endswith("/") and path.startswith(place)) for place in places
    )


def is_one_of(name: str, modules: tuple[str, ...]) -> bool:
    return any(name == module or name.startswith(module + ".") for module in modules)


def walk(node: ast.AST, at_module_level: bool = True) -> Iterator[tuple[ast.AST, bool]]:
    """Yields all nodes, and for each whether importing the file would run it."""
    yield node, at_module_level
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        at_module_level = False
    elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        at_module_level = False
    for child in ast.iter_child_nodes(node):
        yield from walk(child, at_module_level)


def imports(path: str, node: ast.AST) -> Iterator[tuple[str, str]]:
    """Yields the full name that the node imports and the name to which it binds it, if any."""
    match node:
        case ast.Import(names=names):
            for module in names:
                yield module.name, module.asname or ""
        case ast.ImportFrom(module=module, names=names, level=level):
            package = path.split("/")[:-level] if level else []
            for member in names:
                parts = [*package, *filter(None, [module]), member.name]
                yield ".".join(parts), member.asname or member.name
        case ast.Call(func=function, args=[ast.Constant(value=str(module)), *_]):
            if ast.unparse(function).endswith(("import_module", "__import__")):
                yield module, ""


def dotted(node: ast.AST) -> str:
    """Returns `a.b.c` of a chain of attributes, `.c` if the chain does not start with a name."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=name):
            return f"{dotted(value)}.{name}"
    return ""


@functools.cache  # every rule asks for the same files
def references(path: str, source: str) -> list[Reference]:
    found = []
    nodes = [
        (node, level)
        for node, level in walk(ast.parse(source))
        if isinstance(node, ast.expr | ast.stmt)
    ]
    aliases = {"open": "open"}
    for node, level in nodes:
        for name, alias in imports(path, node):
            root = name.split(".")[0]
            aliases |= {alias: name} if alias else {root: root}
            found.append(Reference(name, node.lineno, True, level))
    for node, level in nodes:
        root, *rest = dotted(node).split(".")
        name = ".".join([aliases.get(root, ""), *rest])
        found.append(Reference(name, node.lineno, False, level))
    return found


def violations(path: str, source: str, breaks: Callable[[Reference], bool], rule: str) -> list[str]:
    lines = {found.line: found.name for found in references(path, source) if breaks(found)}
    return [f"{path}:{line}: {name} is used, but {rule}." for line, name in sorted(lines.items())]


def layer_rule(path: str, source: str) -> list[str]:
    if is_in(path, ("configs/",)):
        return violations(
            path,
            source,
            lambda found: found.is_import and not is_one_of(found.name, CONFIGS_MAY_IMPORT),
            "configs import ml_collections and configs alone",
        )
    above = next((names for place, names in LAYERS.items() if is_in(path, (place,))), ())
    return violations(
        path,
        source,
        lambda found: found.is_import and is_one_of(found.name, above),
        f"{path.split('/')[0]} never imports {', '.join(above)}",
    )


def file_rule(path: str, source: str) -> list[str]:
    if not is_in(path, WITHOUT_FILES):
        return []
    return violations(
        path,
        source,
        lambda found: (
            is_one_of(found.name, FILE_NAMES)
            or ("." in found.name and found.name.split(".")[-1] in FILE_METHODS)
        ),
        "models, evaluation and the training step stay off the file system",
    )


def device_rule(path: str, source: str) -> list[str]:
    if not is_in(path, SOURCE) or is_in(path, ("benchmarks/", DEVICE_MODULE)):
        return []
    return violations(
        path,
        source,
        lambda found: is_one_of(found.name, DEVICE_NAMES),
        f"only {DEVICE_MODULE} handles devices",
    )


def linen_rule(path: str, source: str) -> list[str]:
    if not is_in(path, SOURCE) or is_in(path, MODEL_FILES):
        return []
    return violations(
        path,
        source,
        lambda found: is_one_of(found.name, ("flax.linen",)),
        f"only {' and '.join(MODEL_FILES)} import flax.linen",
    )


def heavy_import_rule(path: str, source: str) -> list[str]:
    if not is_in(path, SOURCE):
        return []
    heavy = tuple(
        name for name in HEAVY if name != "tensorflow_datasets" or not is_in(path, BUILDERS)
    )
    return violations(
        path,
        source,
        lambda found: found.is_import and found.at_module_level and is_one_of(found.name, heavy),
        f"{', '.join(heavy)} are imported inside functions only",
    )


def tensorflow_rule(path: str, source: str) -> list[str]:
    return violations(
        path,
        source,
        lambda found: is_one_of(found.name, TENSORFLOW),
        "the project runs without TensorFlow",
    )


RULES = (layer_rule, file_rule, device_rule, linen_rule, heavy_import_rule, tensorflow_rule)


@pytest.mark.parametrize("rule", RULES)
def test_project_obeys(rule):
    folders = [place for place in (*SOURCE, "tests/") if place.endswith("/")]
    files = [
        ROOT / "launch.py",
        *(file for name in folders for file in (ROOT / name).rglob("*.py")),
    ]
    found = []
    for file in sorted(file for file in files if file.exists()):
        path = file.relative_to(ROOT).as_posix()
        found += rule(path, file.read_text(encoding="utf-8"))
    assert not found, "\n".join(found)


BROKEN = [
    (layer_rule, "configs/digits.py", "import jax"),
    (layer_rule, "configs/digits.py", "from common.method import Method"),
    (layer_rule, "common/method.py", "import dann.method"),
    (layer_rule, "common/data/domains.py", "def f():\n    from finetune import method"),
    (layer_rule, "common/method.py", "import importlib\nimportlib.import_module('configs.base')"),
    (layer_rule, "common/method.py", "from launch import main as start"),
    (layer_rule, "dann/method.py", "from finetune import freezing"),
    (layer_rule, "dann/methods/mcd.py", "from ... import finetune"),
    (layer_rule, "dann/method.py", "import configs.base"),
    (layer_rule, "finetune/method.py", "import dann as adaptation"),
    (layer_rule, "finetune/regularizers/delta.py", "import launch"),
    (file_rule, "common/models/cnn.py", "import pathlib"),
    (file_rule, "common/models/pretrained/resnet.py", "from os import path"),
    (file_rule, "common/evaluation/metrics.py", "text = open('a').read()"),
    (file_rule, "common/evaluation/metrics.py", "def f(path):\n    return path.read_text()"),
    (file_rule, "common/evaluation/scores/dev.py", "import numpy as np\nnp.load('a.npy')"),
    (file_rule, "common/training/step.py", "from orbax import checkpoint"),
    (device_rule, "common/training/loop.py", "import jax\ncount = len(jax.devices())"),
    (device_rule, "common/training/step.py", "from jax.sharding import PartitionSpec"),
    (device_rule, "common/training/step.py", "from jax import sharding"),
    (device_rule, "dann/method.py", "from jax import pmap as replicate"),
    (device_rule, "launch.py", "import jax as j\ndef f():\n    return j.make_mesh((8,), ('a',))"),
    (linen_rule, "common/training/step.py", "import flax.linen as nn"),
    (linen_rule, "dann/method.py", "from flax import linen"),
    (linen_rule, "finetune/lora.py", "import flax\nlayer = flax.linen.Dense(1)"),
    (heavy_import_rule, "common/data/pipeline.py", "import grain.python"),
    (heavy_import_rule, "common/evaluation/metrics.py", "from clu import metrics"),
    (heavy_import_rule, "common/data/domains.py", "import tensorflow_datasets as tfds"),
    (heavy_import_rule, "common/data/builders/usps/usps.py", "import sklearn.datasets"),
    (heavy_import_rule, "launch.py", "try:\n    pass\nfinally:\n    import matplotlib"),
    (heavy_import_rule, "common/experiment/weights/torch_file.py", "import torch.serialization"),
    (heavy_import_rule, "dann/method.py", "class Writer:\n    import tensorboardX"),
    (tensorflow_rule, "benchmarks/step.py", "def f():\n    import tensorflow as tf"),
    (tensorflow_rule, "tests/data_test.py", "from clu import metric_writers"),
]


@pytest.mark.parametrize(("rule", "path", "source"), BROKEN)
def test_rule_reports_last_line(rule, path, source):
    (found,) = rule(path, source)
    assert found.startswith(f"{path}:{len(source.splitlines())}: ")


KEPT = [
    (layer_rule, "configs/digits.py", "from ml_collections import config_dict"),
    (layer_rule, "configs/digits.py", "from configs import base"),
    (layer_rule, "dann/method.py", "from common.method import Method"),
    (layer_rule, "dann/methods/mcd.py", "from .. import method, configs"),
    (layer_rule, "launch.py", "import dann.method\nimport finetune.method\nimport configs.base"),
    (file_rule, "common/experiment/run.py", "import json\nopen('a')"),
    (file_rule, "common/models/cnn.py", "json = {}\njson.update(open=1)"),
    (device_rule, DEVICE_MODULE, "import jax\njax.devices()"),
    (device_rule, "common/training/loop.py", "def f(x):\n    return x.sharding, x.devices()"),
    (linen_rule, "common/models/cnn.py", "import flax.linen as nn"),
    (linen_rule, "dann/discriminator.py", "from flax import linen as nn"),
    (heavy_import_rule, "common/data/pipeline.py", "def f():\n    import grain"),
    (heavy_import_rule, "launch.py", "if typing.TYPE_CHECKING:\n    import clu.metrics"),
    (heavy_import_rule, "common/data/builders/usps/usps.py", "import tensorflow_datasets as tfds"),
    (
        tensorflow_rule,
        "common/data/domains.py",
        "import tensorflow_datasets\nfrom clu import metrics",
    ),
]


@pytest.mark.parametrize(("rule", "path", "source"), KEPT)
def test_rule_allows(rule, path, source):
    assert rule(path, source) == []
