"""Tests of the studies: every run of every grid resolves, and rows differ in their method alone."""

import pytest

from common.experiment import check, family, folder, sweep
from common.training.hparam import flatten
from configs import amazon_reviews, base, catalogue, method_row
from configs import digits as benchmark
from configs.studies import (
    digits,
    digits_chosen,
    digits_grid,
    mnist_family,
    moons,
    selection,
    several_sources,
)

# What the row of a method may have of its own.
OWN = ("method", "package", "domains", "alignment", "adaptation", "init_from", "optimizer.groups")
OWN += ("data.strong_augment",)


def runs_of(module, argument=""):
    """The runs that a sweep asks for, by experiment and row; parents are left out."""
    found = {}

    def add(argument="", changes=None):
        config = module.get_config(argument)
        config.update_from_flattened_dict(dict(changes or {}))
        check.check_keys(config.to_dict(), base.get_config().to_dict())
        method_row.check_method(config)
        for resolved in family.resolve_family(config, {}, base.get_config(), method_row):
            check.check_values(resolved)
        found.setdefault((resolved["experiment"], resolved["method"]), []).append(resolved)

    # The command line builds one run with the argument of the sweep, before there is a sweep.
    module.get_config(*([argument] if argument else []))
    module.sweep(add, *([argument] if argument else []))
    for runs in found.values():
        assert len({folder.run_id(run) for run in runs}) == len(runs)
    return found


def shared_settings(run):
    return {
        path: str(value)
        for path, value in flatten(run)
        if not path.startswith((*OWN, "seed", "runtime", "data.split_seed", "data.moons.seed"))
        and path != "data.rotated_moons.seed"
    }


@pytest.mark.parametrize("module", [digits, moons, mnist_family])
def test_rows_of_a_study_differ_in_their_method_alone(module):
    found = runs_of(module)
    for experiment in {experiment for experiment, _ in found}:
        rows = {row: runs for (name, row), runs in found.items() if name == experiment}
        assert "source_only" in rows and len(rows) >= 3
        first = shared_settings(rows["source_only"][0])
        for runs in rows.values():
            assert len({run["seed"] for run in runs}) == len(runs) == len(rows["source_only"])
            assert all(shared_settings(run) == first for run in runs)


def test_no_row_is_forgotten():
    every = {row for row in catalogue.PAPERS if row in (*catalogue.TERMS, *catalogue.METHODS)}
    every -= {row for row, (_, setting) in catalogue.PAPERS.items() if setting == "several sources"}
    assert every <= {row for _, row in runs_of(digits)}
    assert every <= {row for _, row in runs_of(mnist_family)}
    assert every - set(moons.LEFT_OUT) <= {row for _, row in runs_of(moons)}


def test_a_study_of_another_pair_and_of_few_seeds():
    found = runs_of(mnist_family, "source=usps,target=mnist,seeds=2")
    assert {experiment for experiment, _ in found} == {"study_usps_to_mnist"}
    assert {len(runs) for runs in found.values()} == {2}
    with pytest.raises(ValueError, match="seeds is '9'; legal are 1 to 5"):
        mnist_family.sweep(lambda *_: None, "seeds=9")


def test_a_study_of_some_rows():
    found = runs_of(mnist_family, "rows=source_only/shot/dann+mcc,seeds=1")
    assert [row for _, row in found] == ["source_only", "shot", "dann+mcc"]
    (shot,) = (runs[0] for (_, row), runs in found.items() if row == "shot")
    # Pseudo-labels take a pass over the whole target.
    assert shot["adaptation"]["refresh_every"] * shot["data"]["batch_size"] > 59_001
    for rows, said in (("dan", "'dan'"), ("dann/dann", "'dann'"), ("", "''")):
        with pytest.raises(ValueError, match=f"rows names {said}; legal are source_only"):
            mnist_family.sweep(lambda *_: None, f"rows={rows}")


def differing_settings(runs):
    settings = [dict(flatten(run)) for run in runs]
    return {
        key
        for key in settings[0]
        if len({str(own[key]) for own in settings}) > 1 and "seed" not in key
    }


def test_the_grid_changes_one_number_of_each_row_on_other_seeds():
    found = runs_of(digits_grid)
    assert not set(digits.SEEDS) & set(digits_grid.SEEDS)
    for (_, row), runs in found.items():
        assert {run["evaluation"]["reverse_validation"] for run in runs} == {True}
        differing = differing_settings(runs)
        assert len(differing) == (row != "source_only"), (row, differing)


def test_chosen_settings_are_values_of_the_grid_on_seeds_that_chose_nothing():
    grid, found = runs_of(digits_grid), runs_of(digits_chosen)
    assert {row for _, row in found} == {"source_only", *digits_chosen.CHOSEN}
    for (_, row), runs in found.items():
        assert {run["seed"] for run in runs} == set(digits.SEEDS)
        assert not differing_settings(runs)
        if row == "source_only":
            continue
        default = digits.get_config(f"method={row}")
        key = digits_grid.ruling_number(default)
        chosen = dict(flatten(runs[0]))[key]
        assert chosen != digits_grid.value_at(default, key)
        assert chosen in {dict(flatten(run))[key] for run in grid["study_digits_grid", row]}


def test_a_radius_is_that_of_the_paper_by_value_and_shot_has_its_weight_for_digits():
    pair = "source=mnist,target=mnist_m,method=virtual_adversarial"
    for module, argument, count, width in (
        (benchmark, "method=virtual_adversarial", 8 * 8, 1),
        (benchmark, pair, 28 * 28 * 3, 1),
        (moons, "method=virtual_adversarial", 2, 2),
    ):
        radius = module.get_config(argument).alignment.virtual_adversarial.radius
        assert radius == pytest.approx(3.5 * (count / 3072) ** 0.5 * width / 2, abs=6e-3)
    for argument in ("method=shot", "source=mnist,target=mnist_m,method=shot"):
        assert benchmark.get_config(argument).adaptation.pseudo_label_weight == 0.1


def test_the_study_of_selection_has_a_grid_of_eight_methods_on_seeds_of_its_own():
    found = runs_of(selection, "seeds=2")
    chosen_on = {*range(8), *digits.SEEDS, *benchmark.SEEDS, *benchmark.PAIR_SEEDS}
    assert not chosen_on & set(selection.SEEDS) and len(selection.SEEDS) >= 5
    adapted = [row for _, row in found if row != "source_only"]
    assert len(adapted) == len(selection.ROWS) - 1 >= 8
    for (_, row), runs in found.items():
        settings = 1 if row == "source_only" else len(selection.FACTORS)
        assert len(runs) == settings * 2
        assert len(differing_settings(runs)) == (row != "source_only")
        # One program a row.
        assert len(sweep.pack(runs)) == 1


def test_the_study_of_selection_on_a_prepared_pair():
    found = runs_of(selection, "source=mnist,target=mnist_m,seeds=1")
    assert {experiment for experiment, _ in found} == {"mnist_to_mnist_m_modern_selection"}
    assert {row for _, row in found} == {*selection.ROWS, "statistics_only"}
    with pytest.raises(ValueError, match="seeds is 'all'; legal are 1 to 5"):
        selection.sweep(lambda *_: None, "seeds=all")
    with pytest.raises(ValueError, match="target is ''"):
        selection.sweep(lambda *_: None, "source=mnist")


def test_every_product_is_the_target_of_the_three_others_at_one_strength():
    found = {row: runs for (_, row), runs in runs_of(several_sources).items()}
    assert set(found) == set(several_sources.ROWS)
    for target in amazon_reviews.PRODUCTS:
        named = f"tfds:amazon_reviews/{target}"
        own = {row: [run for run in found[row] if run["target"] == named] for row in found}
        runs = [run for row in own.values() for run in row]
        assert {len(row) for row in own.values()} == {len(amazon_reviews.SEEDS)}
        (source,) = {run["source"] for run in runs}
        assert len(source.split("+")) == 3 and target not in source
        # Three sources share a batch.
        assert {run["data"]["batch_size"] % 3 for run in runs} == {0}
        assert all(shared_settings(run) == shared_settings(runs[0]) for run in runs)
        for suffix in ("", "+mcc"):
            pooled, apart = (own[f"{row}{suffix}"][0] for row in ("dann", "multi_source_dann"))
            term = pooled["alignment"]["domain_adversarial"]
            other = apart["alignment"]["multi_source_adversarial"]
            assert other["num_sources"] == 3
            for key in ("strength", "schedule", "hidden"):
                assert term[key] == other[key]
            rates = [
                [group["learning_rate_factor"] for group in run["optimizer"]["groups"].values()]
                for run in (pooled, apart)
            ]
            assert rates[0] == rates[1] != []


def test_one_product_as_the_target():
    added = []
    several_sources.sweep(lambda argument, changes: added.append(argument), "target=dvd")
    assert set(added) == {f"target=dvd,method={row}" for row in several_sources.ROWS}
    with pytest.raises(ValueError, match="target is 'toys'; legal are books"):
        several_sources.get_config("target=toys")
