"""Tests of the defaults and of the names of rows."""

import copy
import json
import re

import pytest

from common.data.augment import make_augment
from configs import base, catalogue, digits, image_folder, method_row, text
from dann.alignment import (
    conditional_adversarial,
    multi_source_adversarial,
    partial_adversarial,
)
from tests.tiny import MAKERS, NUM_CLASSES, make_row_config

ROWS = catalogue.ROWS
TERMS = copy.deepcopy(catalogue.TERMS)


@pytest.mark.parametrize("method", ROWS)
def test_every_row_is_a_method(method):
    config = make_row_config(method)
    made = MAKERS[config["package"]](config, NUM_CLASSES)
    assert set(made.needs) == set(config["domains"])
    assert made.phases or made.refresh


@pytest.mark.parametrize("method", (*ROWS, "dann+fixmatch"))
def test_rows_that_need_a_strong_view_are_known_and_have_one_in_the_benchmarks(method):
    config = make_row_config(method)
    made = MAKERS[config["package"]](config, NUM_CLASSES)
    needed = any("strong_image" in fields for fields in made.needs.values())
    assert method_row.needs_strong_views(method) == needed
    for pair in ("", "source=mnist,target=mnist_m,", "source=svhn,target=mnist,"):
        strong = digits.get_config(f"{pair}method={method}").data.strong_augment
        # The other rows' configs stay as they are.
        assert bool(strong) == needed
        make_augment(strong.to_dict(), "config.data.strong_augment")


def test_every_row_has_a_paper_that_fits_a_line_and_a_setting():
    assert set(catalogue.PAPERS) == set(ROWS)
    settings = [setting for _, setting in (catalogue.PAPERS | catalogue.JOINED).values()]
    assert set(settings) == set(catalogue.SETTINGS)
    width = max(map(len, (*ROWS, *catalogue.JOINED))) + max(map(len, catalogue.SETTINGS)) + 6
    for row, (paper, setting) in catalogue.PAPERS.items():
        assert setting in catalogue.SETTINGS, row
        assert bool(paper) == (row not in (*catalogue.PLAIN, "fine_tune", "dann_then_fine_tune")), (
            row
        )
        assert not paper or re.search(r", [A-Z][A-Za-z ]+ (19|20)\d\d$", paper), row
        assert width + len(paper) <= 100, row


@pytest.mark.parametrize("method", catalogue.PLAIN)
def test_plain_rows_have_no_term(method):
    config = method_row.set_method(base.get_config(), method)
    assert config.package == "finetune" and not config.alignment


@pytest.mark.parametrize("method", catalogue.TERMS)
def test_rows_with_a_term_have_its_options_and_see_both_domains(method):
    term, options = TERMS[method]
    config = method_row.set_method(base.get_config(), method)
    assert config.package == "dann" and config.method == method
    assert {"source", "target"} <= set(config.domains)
    expected = {term: {**options, "weight_schedule": "constant"}}
    assert config.alignment.to_dict() == expected
    # A run that changes its own options must not change the next run's.
    config.alignment[term].weight = 7.0
    again = method_row.set_method(base.get_config(), method)
    assert again.alignment.to_dict() == expected


def test_names_joined_by_plus_join_their_terms():
    row_of_term = {term: row for row, (term, _) in catalogue.TERMS.items()}
    joined = "+".join(row_of_term.values())
    config = method_row.set_method(base.get_config(), joined)
    assert config.method == joined
    assert set(config.alignment) == set(row_of_term)


SOURCE_FREE = [row for row, (domains, _) in catalogue.METHODS.items() if domains == ("target",)]


@pytest.mark.parametrize("method", SOURCE_FREE)
def test_rows_without_labels_start_from_source_only_unless_a_run_is_named(method):
    config = method_row.set_method(base.get_config(), method)
    assert (config.init_from.method, config.init_from.run) == ("source_only", "")
    for kind, value in (("run", "runs/a"), ("method", "dann")):
        config = base.get_config()
        config.init_from[kind] = value
        method_row.set_method(config, method)
        assert config.init_from[kind] == value
        assert not config.init_from[{"run": "method", "method": "run"}[kind]]
    assert not method_row.set_method(base.get_config(), "dann").init_from.method


@pytest.mark.parametrize("method", ["shot+dann", "dann+tent"])
def test_a_whole_method_cannot_be_joined_with_terms(method):
    with pytest.raises(ValueError, match="' is a whole method, to which no term is added: take '"):
        method_row.set_method(base.get_config(), method)


def test_two_rows_of_one_term_cannot_be_joined():
    with pytest.raises(ValueError, match="one row of the term 'conditional_adversarial'"):
        method_row.set_method(base.get_config(), "cdan+dann+cdane")


@pytest.mark.parametrize("method", ["dann", "mcc", "mcc+dann"])
def test_rows_of_terms_may_have_labelled_target_examples(method):
    plain = method_row.set_method(base.get_config(), method)
    config = method_row.set_method(base.get_config(), f"{method}+target_labelled")
    assert config.method == f"{method}+target_labelled"
    assert tuple(config.domains) == ("source", "target", "target_labelled")
    assert config.alignment.to_dict() == plain.alignment.to_dict()
    method_row.check_method(config)
    config.domains = ("source", "target")
    with pytest.raises(ValueError, match="the name of another row"):
        method_row.check_method(config)


@pytest.mark.parametrize(
    "method", ["target_labelled", "source_only+target_labelled", "dann+target_labelled+mcc"]
)
def test_labelled_examples_are_named_after_terms(method):
    with pytest.raises(ValueError, match=r"with '\+target_labelled' at the end"):
        method_row.set_method(base.get_config(), method)


@pytest.mark.parametrize("method", ["dan", "dann+", "dann+source_only", ""])
def test_an_unknown_row_is_refused_with_the_legal_ones(method):
    with pytest.raises(ValueError, match="legal are") as caught:
        method_row.set_method(base.get_config(), method)
    assert all(row in str(caught.value) for row in ROWS)


@pytest.mark.parametrize(
    ("method", "near"), [("dan", "dann"), ("source_onyl", "source_only"), ("dann+dnan", "dann")]
)
def test_the_nearest_row_is_suggested(method, near):
    with pytest.raises(ValueError, match=rf"method is '.*'; did you mean '{near}'\? legal are"):
        method_row.set_method(base.get_config(), method)


def test_defaults_are_data():
    config = base.get_config()
    assert json.loads(json.dumps(config.to_dict()))["data"]["split_seed"] is None
    with pytest.raises(KeyError):
        base.get_config().lock().update({"learning_rat": 1.0})


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("", {"method": "dann", "size": "small"}),
        ("method=mcc", {"method": "mcc", "size": "small"}),
        ("size=big,method=dann+mcc", {"method": "dann+mcc", "size": "big"}),
        ("method=a=b", {"method": "a=b", "size": "small"}),
    ],
)
def test_arguments_replace_defaults(argument, expected):
    assert base.parse(argument, method="dann", size="small") == expected


@pytest.mark.parametrize("argument", ["dann", "methd=dann", "method=dann,strength=1", "method"])
def test_arguments_that_do_not_exist_are_refused(argument):
    with pytest.raises(ValueError, match="is no argument of this config; write method=dann"):
        base.parse(argument, method="dann")


@pytest.mark.parametrize("domains", [("source", "target", "target_labelled"), ("source",)])
def test_a_term_is_not_a_row_with_other_domains(domains):
    config = method_row.set_method(base.get_config(), "dann")
    method_row.check_method(config)
    config.domains = domains
    with pytest.raises(ValueError, match="config.method is 'dann', the name of another row"):
        method_row.check_method(config)


ROOTS = {
    "dann": "domain_discriminator",
    "pada": partial_adversarial.ROOT,
    "cdan": conditional_adversarial.ROOT,
    "cdane": conditional_adversarial.ROOT,
    "multi_source_dann": multi_source_adversarial.ROOT,
}


@pytest.mark.parametrize("row", ROOTS)
@pytest.mark.parametrize(
    ("module", "argument"),
    [(digits, ""), (image_folder, "source=a,target=b,"), (text, "source=a,target=b,")],
)
def test_the_discriminators_of_all_rows_learn_at_the_rate_of_danns(module, argument, row):
    (group,) = module.get_config(f"{argument}method={row}").optimizer.groups.values()
    assert group.learning_rate_factor == 3.0
    assert re.fullmatch(group.pattern, f"{ROOTS[row]}/Dense_0/kernel")


def test_no_row_with_a_discriminator_is_forgotten():
    # MDD's adversary is a head over classes.
    reversing = {term for term, options in TERMS.values() if "strength" in options}
    assert reversing - {"margin_disparity"} == set(catalogue.DISCRIMINATORS)
    assert {TERMS[row][0] for row in ROOTS} == set(catalogue.DISCRIMINATORS)
