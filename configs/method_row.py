"""How a config becomes a row of the catalogue, and how it is known to be one."""

from typing import Any

from ml_collections import ConfigDict

from configs.catalogue import (
    DISCRIMINATORS,
    LABELLED,
    METHODS,
    OF_EVERY_TERM,
    PLAIN,
    PRETRAINING,
    PRETRAINING_DOMAINS,
    REGULARIZERS,
    ROWS,
    STRONG_VIEWS,
    TERMS,
    TRANSFER,
)

# Domains whose labels a batch holds.
WITH_LABELS = ("source", "target_labelled")


def set_method(config: Any, method: str) -> Any:
    """Turns a config into one row of a comparison.

    Args:
        config: Any config; changed in place.
        method: A name of `PLAIN`, `METHODS`, `PRETRAINING` or `TRANSFER`; or names of
            `REGULARIZERS` joined by `+`; or names of `TERMS` joined by `+`, after which
            `+target_labelled` lets the row train on labelled target examples too.

    Returns:
        The same config.

    Raises:
        ValueError: An unknown name, one that stands there twice, or a whole method among terms.
    """
    config.method = method
    config.alignment, config.adaptation = ConfigDict(), ConfigDict()
    config.transfer, config.regularization = ConfigDict(), ConfigDict()
    if method in PLAIN:
        config.package, config.domains = "finetune", PLAIN[method]
        return config
    if method in METHODS:
        config.package = "dann"
        config.domains, config.adaptation = METHODS[method][0], ConfigDict(METHODS[method][1])
        if not set(WITH_LABELS) & set(config.domains):
            # Classes are learned before, from the source, which this row no longer sees.
            _start_from(config, "source_only")
        return config
    if method in PRETRAINING:
        config.package, config.domains = "finetune", PRETRAINING_DOMAINS[0]
        config.transfer = ConfigDict(PRETRAINING[method])
        # No other run has a decoder to start from, and no head is trained.
        config.init_from.include = "feature_extractor/.*"
        return config
    if _is_fine_tuning(method):
        config.package, config.domains = "finetune", (LABELLED,)
        row = method if method in TRANSFER else "fine_tune"
        options, parent = TRANSFER[row]
        config.transfer = ConfigDict(options)
        config.regularization = ConfigDict(
            {name: REGULARIZERS[name] for name in method.split("+") if row != method}
        )
        # On one domain, learning from the source would be learning from these labels already.
        is_alone = config.init_from.weights and config.source == config.target
        if not (is_alone and parent == "source_only"):
            _start_from(config, parent)
        if config.regularization or method == "lora":
            # A regulariser may own parameters that no other run has, and adapters are such.
            config.init_from.include = r"(feature_extractor|task_head)/.*"
        if parent in PRETRAINING:
            config.init_from.include = "feature_extractor/.*"
        return config
    config.package, config.domains = "dann", _domains_of(method)
    names = _split_row(method)
    for name in names:
        if name in METHODS:
            raise ValueError(
                f"method is {method!r}; {name!r} is a whole method, to which no term is added: "
                f"take {name!r} alone, or join some of {', '.join(TERMS)}"
            )
        if name not in TERMS:
            raise ValueError(
                f"method is {method!r}; {'' if name == LABELLED else _nearest(name)}legal are "
                f"{', '.join((*PLAIN, *METHODS, *PRETRAINING, *TRANSFER))}, "
                f"{', '.join(REGULARIZERS)} joined by '+', and {', '.join(TERMS)} joined by '+', "
                f"with '+{LABELLED}' at the end for labelled target examples"
            )
        if names.count(name) > 1:
            raise ValueError(f"method is {method!r}; it must name {name!r} once")
        term, options = TERMS[name]
        if term in config.alignment:
            raise ValueError(f"method is {method!r}; it must name one row of the term {term!r}")
        config.alignment[term] = ConfigDict({**options, **OF_EVERY_TERM})
    return config


def list_discriminators(config: Any) -> list[str]:
    """Lists the terms of a config that have a discriminator of domains.

    Args:
        config: A config whose row is set.

    Returns:
        Those of its terms that are in `DISCRIMINATORS`.
    """
    return [term for term in DISCRIMINATORS if term in config.alignment]


def set_discriminator_rate(config: Any, factor: float) -> None:
    """Gives every discriminator of a config a learning rate of its own.

    Args:
        config: A config whose row is set; changed in place.
        factor: Its rate over that of the network.
    """
    for term in list_discriminators(config):
        name, pattern = DISCRIMINATORS[term]
        config.optimizer.groups[name] = {"pattern": pattern, "learning_rate_factor": factor}


def needs_strong_views(method: str) -> bool:
    """Says whether a row needs `config.data.strong_augment`.

    Args:
        method: A name as for `set_method`.

    Returns:
        True where one of its terms, or the whole method, is in `STRONG_VIEWS`.
    """
    return any(name in STRONG_VIEWS for name in method.split("+"))


def _is_fine_tuning(method: str) -> bool:
    """Says whether a name is a row of `TRANSFER`, or joins different regularisers."""
    names = method.split("+")
    joined = set(names) <= set(REGULARIZERS) and len(set(names)) == len(names)
    return method in TRANSFER or joined


def _start_from(config: Any, method: str) -> None:
    """Names the row that a run starts from, where nothing else to start from is named."""
    if not config.init_from.run and not config.init_from.method:
        config.init_from.method = method


def _split_row(method: str) -> list[str]:
    """Returns the terms that a row's name joins."""
    return method.removesuffix(f"+{LABELLED}").split("+")


def _domains_of(method: str) -> tuple[str, ...]:
    """Returns the domains in the batch of a row of terms."""
    return ("source", "target", *[LABELLED] * method.endswith(f"+{LABELLED}"))


def _nearest(name: str) -> str:
    """Suggests the row that shares most pairs of letters with a name."""

    def pairs(text):
        return {text[index : index + 2] for index in range(len(text) - 1)}

    near = max((*ROWS, LABELLED), key=lambda row: len(pairs(row) & pairs(name)))
    return f"did you mean {near!r}? " if pairs(near) & pairs(name) else ""


def check_method(config: Any) -> None:
    """Refuses a row whose name is not what it does.

    Args:
        config: Any config.

    Raises:
        ValueError: `config.method` was changed without what it stands for.
    """
    if config.method in PLAIN:
        is_true = (config.package, config.domains) == ("finetune", PLAIN[config.method])
    elif config.method in METHODS:
        domains, options = METHODS[config.method]
        is_true = (config.package, config.domains) == ("dann", domains)
        is_true = is_true and set(config.adaptation) == set(options)
    elif config.method in PRETRAINING:
        is_true = config.package == "finetune" and set(config.transfer) == {"reconstruction"}
        is_true = is_true and tuple(config.domains) in PRETRAINING_DOMAINS
    elif _is_fine_tuning(config.method):
        is_true = (config.package, config.domains) == ("finetune", (LABELLED,))
        names = config.method.split("+")
        row = config.method if config.method in TRANSFER else "fine_tune"
        own = set() if config.method in TRANSFER else set(names)
        is_true = is_true and set(config.regularization) == own
        is_true = is_true and set(config.transfer) == set(TRANSFER[row][0])
        if row == "linear_probe":
            is_true = is_true and config.transfer.freeze == TRANSFER[row][0]["freeze"]
    else:
        terms = {TERMS[name][0] for name in _split_row(config.method) if name in TERMS}
        is_true = config.package == "dann" and terms == set(config.alignment)
        is_true = is_true and tuple(config.domains) == _domains_of(config.method)
    if not is_true:
        raise ValueError(
            f"config.method is {config.method!r}, the name of another row than this config's; "
            "choose a row by --config=FILE:method=NAME"
        )
