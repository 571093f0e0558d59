"""Tests of how rules are judged: on made-up evaluations whose regrets are known by hand."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from common.experiment import selection
from common.experiment.reporting import rule_pool, rule_quality, rule_section
from common.experiment.reporting.run_record import Run

TEST, VALIDATION = "oracle/target_test_accuracy", "oracle/target_val_accuracy"
PERFECT, WORST, LOWER_IS_BETTER = "rank_me", "mixval", "importance_weighted_validation"


def make_run(name, seed, records, *, domains=("source", "target"), alignment=None, **last):
    """Makes a run that chose its steps by the rules themselves."""
    method, _, setting = name.partition(", ")
    config = {
        "method": method,
        "seed": seed,
        "domains": list(domains),
        "alignment": alignment or {},
        "adaptation": dict([setting.split("=")]) if setting else {},
        "data": {"batch_size": 64, "split_seed": seed},
    }
    chosen = selection.choose(records, num_source_val=100)
    selections = {
        rule: {key: records[index][key] for key in (TEST, "step")}
        for rule, index in chosen.items()
        if index is not None
    }
    selections["last"] |= last
    result = {"method": method, "seed": seed, "selections": selections}
    return Run(Path(name), f"{name}-{seed}", "done", "", config, {}, result, records, [], [])


def make_records(accuracies, validation=None, flags=(), **scores):
    """Makes an evaluation for each accuracy; scores that are functions are given the accuracy."""
    records = []
    for index, accuracy in enumerate(accuracies):
        record = {
            "step": 100 * (index + 1),
            "source_val/accuracy": 0.9,
            "source_val/loss": 0.1,
            TEST: accuracy,
            VALIDATION: accuracy if validation is None else validation[index],
            "flags": ["few_classes"] if index in flags else [],
        }
        for name, values in scores.items():
            record[f"score/{name}"] = values(accuracy) if callable(values) else values[index]
        records.append(record)
    return records


def good_and_bad(accuracies, **changes):
    scores = {PERFECT: lambda a: a, WORST: lambda a: -a, LOWER_IS_BETTER: lambda a: 1 - a}
    return make_records(accuracies, **scores, **changes)


def judge(members):
    found = rule_quality.judge_rules(members)
    assert found is not None
    return found


def rules_of(found, scope):
    return found["oracle"]["scopes"][scope]["rules"]


# The last step of each run is neither its best nor its worst.
ACCURACIES = {
    "dann, strength=1": [(0.50, 0.80, 0.70), (0.55, 0.75, 0.65)],
    "dann, strength=3": [(0.40, 0.60, 0.52), (0.45, 0.70, 0.50)],
    "coral": [(0.52, 0.66, 0.60), (0.50, 0.68, 0.62)],
}
PLAIN = [(0.50, 0.60, 0.60), (0.50, 0.58, 0.64)]


def make_members(**changes):
    rows = {"source_only": PLAIN, **ACCURACIES}
    return {
        name: {
            seed: make_run(
                name,
                seed,
                good_and_bad(own, **changes),
                domains=("source",) if name == "source_only" else ("source", "target"),
            )
            for seed, own in enumerate(values)
        }
        for name, values in rows.items()
    }


@pytest.fixture(scope="module")
def judged():
    return judge(make_members())


@pytest.mark.parametrize("rule", [PERFECT, LOWER_IS_BETTER, f"{PERFECT}_unguarded"])
def test_perfect_score_has_no_regret(judged, rule):
    for scope in ("step", "settings", "settings_at_last", "methods", "methods_at_last"):
        found = rules_of(judged, scope)[rule]
        assert found["regret"]["mean"] == pytest.approx(0), scope
        assert found["collapsed"] == 0
    assert judged["oracle"]["rank_correlation"][rule] == {
        key: pytest.approx(1) for key in ("within_run", "checkpoints", "runs")
    }


def test_opposite_of_a_perfect_score_takes_the_worst(judged):
    runs = [own for values in (PLAIN, *ACCURACIES.values()) for own in values]
    expected = np.mean([max(own) - min(own) for own in runs])
    assert rules_of(judged, "step")[WORST]["regret"]["mean"] == pytest.approx(expected)
    # Of both strengths: .80 against .40 on the one seed, .75 against .45 on the other.
    found = rules_of(judged, "settings")[WORST]
    assert found["regret"]["mean"] == pytest.approx((0.40 + 0.30) / 2)
    assert found["worst"] == pytest.approx(0.40)
    # At the last step .70 against .52, and .65 against .50.
    at_last = rules_of(judged, "settings_at_last")[WORST]
    assert at_last["regret"]["mean"] == pytest.approx((0.18 + 0.15) / 2)
    # Across methods the best last ones are .70 and .65, the worst .52 and .50.
    assert rules_of(judged, "methods_at_last")[WORST]["regret"]["mean"] == pytest.approx(0.165)
    correlation = judged["oracle"]["rank_correlation"][WORST]
    assert correlation["checkpoints"] == pytest.approx(-1)


def test_collapsed_choices_lie_a_margin_below_source_only(judged):
    # At the last step source_only has .60 and .64: below .50 and .54 a run has collapsed.
    assert judged["oracle"]["margin"] == pytest.approx(0.1)
    # At the last step, .52 has not, and .50 has.
    assert rules_of(judged, "settings_at_last")[WORST]["collapsed"] == pytest.approx(0.5)
    assert rules_of(judged, "settings")[WORST]["collapsed"] == 1.0
    below = [
        accuracy < least - 1e-9
        for own in (PLAIN, *ACCURACIES.values())
        for run, least in zip(own, (0.5, 0.54), strict=True)
        for accuracy in run
    ]
    assert rules_of(judged, "step")["by_lot"]["collapsed"] == pytest.approx(np.mean(below))


def test_seed_without_source_only_is_compared_with_the_mean():
    members = make_members()
    del members["source_only"][1]
    (own,) = {own.plain for own in rule_pool.candidates_of(members) if own.run.result["seed"] == 1}
    assert own == pytest.approx(0.60)
    by_seed = {own.run.result["seed"]: own.plain for own in rule_pool.candidates_of(make_members())}
    assert by_seed == pytest.approx({0: 0.60, 1: 0.64})


def test_last_and_the_comparisons_by_hand(judged):
    runs = [own for values in (PLAIN, *ACCURACIES.values()) for own in values]
    steps = rules_of(judged, "step")
    assert steps["last"]["regret"]["mean"] == pytest.approx(
        np.mean([max(own) - own[-1] for own in runs])
    )
    assert steps["by_lot"]["regret"]["mean"] == pytest.approx(
        np.mean([max(own) - np.mean(own) for own in runs])
    )
    # Validation and test agree here.
    assert steps["oracle"]["regret"]["mean"] == steps["oracle"]["collapsed"] == 0
    assert steps["oracle_test"]["regret"]["mean"] == pytest.approx(0)
    assert (steps["last"]["n"], judged["oracle"]["scopes"]["settings"]["choices"]) == (8, 2)
    # Neither compares runs.
    for scope in ("settings", "methods", "settings_at_last", "methods_at_last"):
        assert not {"last", "source_val"} & set(rules_of(judged, scope))


def test_interval_is_over_seeds(judged):
    by_seed = [
        np.mean([max(own[seed]) - own[seed][-1] for own in (PLAIN, *ACCURACIES.values())])
        for seed in (0, 1)
    ]
    assert rules_of(judged, "step")["last"]["regret"]["ci95"] is None
    members = make_members()
    for name, runs in members.items():
        values = (PLAIN if name == "source_only" else ACCURACIES[name])[0]
        runs[2] = make_run(name, 2, good_and_bad(values), domains=tuple(runs[0].config["domains"]))
    means = np.asarray([*by_seed, by_seed[0]])
    half = stats.t.ppf(0.975, 2) * means.std(ddof=1) / np.sqrt(3)
    found = rules_of(judge(members), "step")["last"]["regret"]
    assert found["mean"] == pytest.approx(means.mean())
    np.testing.assert_allclose(found["ci95"], [means.mean() - half, means.mean() + half])


def test_regret_is_against_what_the_validation_labels_choose():
    records = good_and_bad((0.6, 0.8, 0.7), validation=(0.9, 0.5, 0.4))
    found = judge({"dann": {0: make_run("dann", 0, records)}})
    steps = rules_of(found, "step")
    # They take .6; the perfect score takes .8, and so does oracle_test.
    assert steps[PERFECT]["regret"]["mean"] == pytest.approx(-0.2)
    assert steps["oracle_test"]["regret"]["mean"] == pytest.approx(-0.2)
    # One run is no choice between runs, and without source_only nothing is known of collapses.
    assert list(found["oracle"]["scopes"]) == ["step"]
    assert steps["last"]["collapsed"] is None


def test_guarded_rules_pass_over_flagged_evaluations():
    members = {
        "dann, strength=1": {0: make_run("dann, strength=1", 0, good_and_bad((0.5, 0.6)))},
        "dann, strength=3": {
            0: make_run("dann, strength=3", 0, good_and_bad((0.9, 0.8), flags=(0, 1)))
        },
    }
    found = judge(members)
    # The guard is wrong here: what it flags is the best.
    assert rules_of(found, "settings")[PERFECT]["regret"]["mean"] == pytest.approx(0.3)
    assert rules_of(found, "settings_at_last")[PERFECT]["regret"]["mean"] == pytest.approx(0.2)
    for scope in ("settings", "settings_at_last"):
        unguarded = rules_of(found, scope)[f"{PERFECT}_unguarded"]
        assert unguarded["regret"]["mean"] == pytest.approx(0)
    # In the flagged run a guarded rule chooses no step.
    assert (rules_of(found, "step")[PERFECT]["n"], rules_of(found, "step")["last"]["n"]) == (1, 2)
    text = "\n".join(rule_section.write_rules(found))
    assert f"| {PERFECT} | 1 of 2 | +0.0 |" in text


def test_rules_that_never_choose_are_named():
    members = {
        name: {0: make_run(name, 0, good_and_bad((0.5, 0.6), flags=(0, 1)))}
        for name in ("dann, strength=1", "dann, strength=3")
    }
    found = judge(members)
    for scope in ("step", "settings", "settings_at_last"):
        assert PERFECT in found["oracle"]["scopes"][scope]["silent"]
        assert f"{PERFECT}_unguarded" in rules_of(found, scope)
    text = "\n".join(rule_section.write_rules(found))
    assert text.count("Chose nothing, since all was flagged: ") == 3 and PERFECT in text


def test_settings_are_chosen_on_equal_data():
    members = make_members()
    seeds = members["dann, strength=3"]
    seeds[1] = seeds[1]._replace(
        config=seeds[1].config | {"data": {"batch_size": 64, "split_seed": 7}}
    )
    found = judge(members)
    assert found["oracle"]["scopes"]["settings"]["choices"] == 1
    # Other batches are another problem, too; other strong views are not.
    changes = ({"batch_size": 32}, {"batch_size": 64, "strong_augment": {"cutout": {}}})
    for data, choices in zip(changes, (0, 1), strict=True):
        seeds[0] = seeds[0]._replace(config=seeds[0].config | {"data": {**data, "split_seed": 0}})
        pools = rule_pool.pools_of(rule_pool.candidates_of(members), across_methods=False)
        assert len(pools) == choices


def test_rows_that_saw_target_labels_are_not_judged():
    records = good_and_bad((0.9, 0.9, 0.99))
    domains = ("target_labelled",)
    plain = make_members()
    members = plain | {
        "train_on_target": {
            seed: make_run("train_on_target", seed, records, domains=domains) for seed in (0, 1)
        }
    }
    assert judge(members) == judge(plain)


def test_runs_without_scores_have_no_section():
    records = make_records((0.5, 0.6))
    assert rule_quality.judge_rules({"dann": {0: make_run("dann", 0, records)}}) is None
    assert rule_quality.judge_rules({}) is None


def test_incomplete_records_cost_only_themselves():
    members = make_members()
    run = members["coral"][0]
    spoilt = [dict(record) for record in run.records]
    del spoilt[0][TEST], spoilt[1][f"score/{PERFECT}"], spoilt[2]["flags"]
    spoilt[2][f"score/{WORST}"] = None
    members["coral"][0] = run._replace(records=[*spoilt, {"step": 400, "train/loss": 1.0}])
    found = judge(members)
    assert found["oracle"]["scopes"]["step"]["choices"] == 8
    assert rules_of(found, "methods")[PERFECT]["regret"]["mean"] == pytest.approx(0)


def test_choices_among_runs_that_train_for_the_score_are_counted():
    # Of the names of terms that scores know.
    entropy = {"entropy": {"weight": 0.1}}
    records = make_records((0.4, 0.6), entropy=(0.1, 0.2), rank_me=(0.1, 0.2))
    members = {
        "coral": {0: make_run("coral", 0, records)},
        "entropy": {0: make_run("entropy", 0, records, alignment=entropy)},
    }
    found = judge(members)
    assert found["trained_for"]["entropy"] == ["entropy"] and found["trained_for"]["rank_me"] == []
    biased = {rule: own["biased"] for rule, own in rules_of(found, "methods").items()}
    assert (biased["entropy"], biased["rank_me"]) == (1, 0)
    assert rules_of(found, "step")["entropy"]["biased"] == 1
    text = "\n".join(rule_section.write_rules(found))
    assert "Methods that train for what a rule reads: entropy: entropy." in text


def test_score_of_whole_runs_chooses_settings_at_the_last_step():
    members = make_members()
    for name, score in (("dann, strength=1", 0.3), ("dann, strength=3", 0.4)):
        for seed, run in members[name].items():
            members[name][seed] = make_run(
                *(name, seed, run.records), **{"score/reverse_validation": score}
            )
    found = judge(members)
    # It takes the wrong one.
    regret = rules_of(found, "settings_at_last")["reverse_validation"]["regret"]["mean"]
    assert regret == pytest.approx((0.18 + 0.15) / 2)
    assert "reverse_validation" not in rules_of(found, "settings")
    assert found["oracle"]["rank_correlation"]["reverse_validation"]["checkpoints"] is not None


def test_correlation_of_guarded_rules_leaves_flagged_evaluations_out():
    records = make_records((0.4, 0.5, 0.6, 0.7), rank_me=(1.0, 2.0, 3.0, 0.0), flags=(3,))
    found = judge({"dann": {0: make_run("dann", 0, records)}})["oracle"]["rank_correlation"]
    assert found["rank_me"]["within_run"] == pytest.approx(1)
    expected = stats.spearmanr([1, 2, 3, 0], [4, 5, 6, 7])[0]
    assert found["rank_me_unguarded"]["within_run"] == pytest.approx(expected)
    assert found["rank_me"]["runs"] is None


def test_section_puts_the_default_first_and_comparisons_last(judged):
    rules = [line[0] for line in rule_section.step_cells(judged)]
    assert rules[0] == judged["default"]
    assert rules[-1] == "a choice by lot" and rules[-3:-1] == [
        *("oracle, by validation labels", "oracle_test, by test labels"),
    ]
    text = "\n".join(rule_section.write_rules(judged))
    assert "#### Which step of a run" in text and "#### Which settings of a method" in text
    regret = np.mean([max(own) - own[-1] for v in (PLAIN, *ACCURACIES.values()) for own in v])
    assert f"the default rule last costs {100 * regret:+.1f} points" in text
    assert "more than 10 points below their source_only of the same seed, or" in text
