"""The verbs `predict`, `evaluate` and `export`: a finished run put to use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from absl import flags

from common.experiment import outcome

_PART = flags.DEFINE_string("part", "", "Split that predict and evaluate look at, or all.")

MakeMethod = Callable[[Any, int], Any]


def predict(arguments: Sequence[str], make_method: MakeMethod) -> None:
    """Writes a table of what a run says of examples.

    Args:
        arguments: Words that are no flags: a domain, or a path; none for the run's own target.
        make_method: `(config, num_classes) -> Method`.

    Raises:
        UsageError: What is asked for cannot be.
        RunFailed: The table cannot be written.
    """
    from common.experiment import output_file, prediction

    with outcome.refusing():
        own, asked, logits = _answer("predict", arguments, make_method)
        table = prediction.format_predictions(
            own.config["task"], own.result["classes"], asked.names, logits
        )
        if not (output := _value("output")):
            print(table, end="")
            return
        target = output_file.free_file(output, (".csv",))
        with output_file.replacing(target) as temporary:
            temporary.write_text(table, encoding="utf-8")
    print(f"{_describe(own, asked)}: {target}")


def evaluate(arguments: Sequence[str], make_method: MakeMethod) -> None:
    """Prints how right a run is on labelled examples.

    Args:
        arguments: Words that are no flags: a domain, or a path; none for the run's own target.
        make_method: `(config, num_classes) -> Method`.

    Raises:
        UsageError: What is asked for cannot be, or has no labels.
        RunFailed: The file cannot be written.
    """
    from common.experiment import json_file, output_file, prediction
    from common.experiment.selection import ORACLE

    with outcome.refusing():
        own, asked, logits = _answer("evaluate", arguments, make_method)
        classes, labels = own.result["classes"], asked.labels
        metrics = prediction.measure(own.config["task"], classes, labels, logits)
        name = asked.task[asked.role].name
        if not metrics:
            raise ValueError(
                f"{name!r} has no label of a class of this run in its split {asked.part}; predict "
                "needs none"
            )
        start = ORACLE if asked.role == "target" else ""
        found = {f"{start}{metric}": value for metric, value in metrics.items()}
        if output := _value("output"):
            told = {"run": str(own.path), "selection": _selection(), "domain": name}
            target = output_file.free_file(output, (".json",))
            json_file.write_json(target, told | {"part": asked.part, "metrics": found})
    print(_describe(own, asked))
    width = max(map(len, found))
    for metric, value in found.items():
        told = str(value) if isinstance(value, int) else f"{value:.4f}"
        print(f"{metric:{width}}  {told}")


def export(arguments: Sequence[str]) -> None:
    """Writes a run's network into one file, here or in the layout of another library.

    Args:
        arguments: Words that are no flags; there must be none.

    Raises:
        UsageError: What is asked for cannot be.
        RunFailed: The file cannot be written.
    """
    from common.experiment import output_file
    from common.experiment.weights import exporting

    if arguments:
        raise outcome.UsageError(f"export takes flags alone; {arguments[0]!r} is none")
    with outcome.refusing():
        own = _load("export")
        target = output_file.free_file(_value("output") or "model.safetensors", (".safetensors",))
        layout = _value("layout")
        print(exporting.export(own, target, layout))


def _load(verb: str) -> Any:
    from common.experiment.trained import load_trained

    runs = _value("run")
    if len(runs) != 1:
        raise outcome.UsageError(f"{verb} needs one finished run: --run=FOLDER")
    data_dir = _value("data_dir") or None
    return load_trained(Path(runs[0]).expanduser(), _selection(), data_dir)


def _value(flag: str) -> Any:
    """Reads a flag, which another verb may have defined."""
    return flags.FLAGS[flag].value


def _selection() -> str:
    return _value("selection")


def _answer(verb: str, arguments: Sequence[str], make_method: MakeMethod) -> tuple[Any, Any, Any]:
    """Loads the run and the examples, and asks it about them."""
    from common.experiment import trained

    if len(arguments) > 1:
        raise outcome.UsageError(
            f"{verb} takes one domain or path, not {' '.join(arguments)}; without one it takes the "
            "target of the run"
        )
    own = _load(verb)
    asked = trained.ask(own, arguments[0] if arguments else "", _PART.value)
    return own, asked, trained.answer(own, asked, make_method)


def _describe(own: Any, asked: Any) -> str:
    domain, count = asked.task[asked.role], len(asked.rows)
    return (
        f"{own.path} ({_selection()}, step {own.result['selections'][_selection()]['step']}) on "
        f"{count} examples of {domain.name} ({asked.part})"
    )


def verbs(make_method: MakeMethod) -> dict[str, Callable[[Sequence[str]], None]]:
    """Lists the verbs that put a finished run to use.

    Args:
        make_method: `(config, num_classes) -> Method`.

    Returns:
        By name, what takes the words that are no flags.
    """
    return {
        "predict": partial(predict, make_method=make_method),
        "evaluate": partial(evaluate, make_method=make_method),
        "export": export,
    }
