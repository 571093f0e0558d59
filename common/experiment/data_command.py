"""The verb `prepare`, and what `list` says about data."""

from __future__ import annotations

import functools
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence

from absl import flags

from common.data.catalogue import CATALOGUE_EXAMPLES, OWN_BUILDERS
from common.data.data_folder import PreparedSet, list_prepared
from common.data.data_name import parse_name, resolve_data_dir
from common.evaluation.scores.fact import FACTS
from common.experiment import outcome
from common.legal import check_name

_DATASET = flags.DEFINE_string("dataset", "", "What to prepare; several names with commas.")
_MANUAL_DIR = flags.DEFINE_string("manual_dir", "", "Folder of files that a person has to get.")
_DATA_DIR = flags.DEFINE_string("data_dir", "", "Folder of prepared data; TFDS's own by default.")


def prepare(arguments: Sequence[str]) -> None:
    """Prepares the data sets of `--dataset`.

    Args:
        arguments: Words that are no flags; there must be none.

    Raises:
        UsageError: No or unknown names, or manual files that are missing.
        RunFailed: A preparation failed.
    """
    if arguments:
        raise outcome.UsageError(f"prepare takes flags alone; {arguments[0]!r} is none")
    names = [name.strip() for name in _DATASET.value.split(",") if name.strip()]
    if not names:
        raise outcome.UsageError(
            "prepare needs --dataset=NAME, such as --dataset=mnist_m; "
            "`python launch.py list datasets` shows names"
        )
    from common.data import preparation
    from common.data.builder import find_builder

    # Bound to the stream of now: a preparation silences what others print.
    show = functools.partial(print, file=sys.stdout, flush=True)
    with outcome.refusing():
        for name in names:
            find_builder(parse_name(name))
        for name in names:
            preparation.prepare(
                name, manual_dir=_MANUAL_DIR.value, data_dir=_DATA_DIR.value, show=show
            )


def list_names(
    names: Mapping[str, Collection[str]],
    kinds: Sequence[str],
    papers: Mapping[str, tuple[str, str]],
) -> Iterator[str]:
    """Lists what a config may name.

    Args:
        names: Legal names by kind.
        kinds: The kinds to list; all where there is none.
        papers: Of each method the paper, or "", and the setting.

    Yields:
        Lines.

    Raises:
        ValueError: An unknown kind.
    """
    for kind in kinds or names:
        check_name("the kind to list", kind, names)
        if kind == "methods":
            yield "methods; those that are terms may be joined, as dann+mcc:"
            yield from _list_methods(names[kind], papers)
            continue
        if kind == "scores":
            yield "scores, which choose without target labels:"
            yield from _list_scores()
            continue
        yield f"{kind}: {', '.join(names[kind])}"
        if kind == "datasets":
            yield from _list_data()


def _list_methods(methods: Collection[str], papers: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    name_width = max(map(len, methods))
    setting_width = max(len(setting) for _, setting in papers.values())
    for name in methods:
        paper, setting = papers[name]
        yield f"  {name:{name_width}}  {setting:{setting_width}}  {paper}".rstrip()


def _list_scores() -> Iterator[str]:
    width = max(map(len, FACTS))
    for name, fact in FACTS.items():
        direction = "higher" if fact.higher_is_better else "lower"
        yield f"  {name:{width}}  {direction:6} is better  {fact.reference}"


def _list_data() -> Iterator[str]:
    prepared = list_prepared(_DATA_DIR.value)
    root = resolve_data_dir(_DATA_DIR.value)
    yield f"prepared in {root}, as tfds:NAME:{'' if prepared else ' nothing'}"
    names = [f"{own.name} {own.version}".strip() for own in prepared]
    width = max(map(len, names), default=0)
    for name, own in zip(names, prepared, strict=True):
        yield f"  {name:{width}}  {_describe(own)}"
    yield (
        "to be prepared by `python launch.py prepare --dataset=NAME`: "
        f"{', '.join(OWN_BUILDERS)}; and the catalogue of TensorFlow Datasets, such as "
        f"{', '.join(CATALOGUE_EXAMPLES)}"
    )
    yield (
        "read as they are: folder:PATH (pictures), svmlight:PATH, npz:PATH (vectors), "
        "csv:PATH (texts)"
    )


def _describe(prepared: PreparedSet) -> str:
    counts = ", ".join(f"{split} {count:,}" for split, count in prepared.splits.items())
    size = f"{prepared.num_bytes / 2**20:,.1f} MiB"
    if prepared.unreadable:
        return f"NOT READABLE: {prepared.unreadable} ({size} in {prepared.folder})"
    return f"{counts}, {size}"
