"""The records of a population while it trains, and what they decide: who stops, what is kept."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool

from common.evaluation.task_metric import TaskMetric
from common.experiment import guard, selection, writer
from common.experiment.result import evaluated


@dataclass(frozen=True)
class History:
    """The records of the members of a population.

    Attributes:
        records: Of each member, in the order of their steps; they grow while it trains.
        config: The resolved config of any member; what is read here is equal in all of them.
        metric: That of the config's task.
        num_source_val: The number of source validation examples.
        trains_on_source: Whether the members learn from source labels.
    """

    records: list[list[dict[str, Any]]]
    config: Mapping[str, Any]
    metric: TaskMetric
    num_source_val: int
    trains_on_source: bool

    @property
    def primary(self) -> selection.Primary:
        """The metric by which rules compare steps."""
        return selection.Primary(self.metric.primary, self.metric.higher_is_better)

    def stopped(self, failed: Collection[int]) -> Bool[np.ndarray, " M"]:
        """Says which members train no further.

        Args:
            failed: The members that failed.

        Returns:
            True where early stopping has ended a member; of those that failed, where there is
            early stopping, since nobody waits for them.
        """
        evaluation = self.config["evaluation"]
        found = [
            selection.has_stopped(
                evaluated(records),
                rule=evaluation["stop_by"],
                patience=evaluation["patience"],
                num_source_val=self.num_source_val,
                primary=self.primary,
            )
            for records in self.records
        ]
        return np.asarray(
            [
                has_stopped or bool(evaluation["patience"] and member in failed)
                for member, has_stopped in enumerate(found)
            ]
        )

    def make_record(
        self,
        step: int,
        train: Mapping[str, np.ndarray],
        evaluation: Mapping[str, Any] | None,
        member: int,
    ) -> dict[str, Any]:
        """Makes the next record of a member.

        Args:
            step: The number of updates done.
            train: What the members measured in training since the record before.
            evaluation: What the evaluation of all members found, if there was one.
            member: Whose record it is.

        Returns:
            The record, with signs of collapse at `flags` where there was an evaluation.
        """
        record = writer.make_record(
            step, self.config["num_steps"], train, evaluation, member, self.metric
        )
        if evaluation is not None:
            record["flags"] = guard.flags_of(
                *([*self.records[member], record], self.config["evaluation"]["guard"]),
                trains_on_source=self.trains_on_source,
            )
        return record

    def choose(
        self,
        step: int,
        train: Mapping[str, np.ndarray],
        evaluation: Mapping[str, Any],
        failed: Collection[int],
    ) -> dict[str, Bool[np.ndarray, " M"]]:
        """Says which members keep the weights of an evaluation that has no record yet.

        Args:
            step: The number of updates done.
            train: As for `make_record`.
            evaluation: As for `make_record`.
            failed: The members that failed.

        Returns:
            By rule of `config.evaluation.keep`, True where the rule's choice is this step.
        """
        rules = self.config["evaluation"]["keep"]
        taken: dict[str, list[bool]] = {rule: [] for rule in rules}
        for member, has_stopped in enumerate(self.stopped(failed)):
            own = dict.fromkeys(rules, False)
            if not has_stopped:
                record = self.make_record(step, train, evaluation, member)
                seen = selection.visible([*evaluated(self.records[member]), record])
                for rule in rules:
                    choose = selection.RULES[rule]
                    index = choose(seen, num_source_val=self.num_source_val, primary=self.primary)
                    own[rule] = index == len(seen) - 1
            for rule in rules:
                taken[rule].append(own[rule])
        return {rule: np.asarray(values) for rule, values in taken.items()}
