"""The best model of a snapshot against the model in use, and which of them is used from now on."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from aiqc_core import leaderboard
from aiqc_core.chain.training import queue_of
from aiqc_core.errors import NotFoundError, TrainingError
from aiqc_core.evaluate.checks import PASSED, WARNING, Finding
from aiqc_core.orm import Champion, Predictor
from aiqc_core.orm.database import metastore
from aiqc_core.orm.versus import compare

if TYPE_CHECKING:
    from aiqc_core.evaluate.contest import Contest
    from aiqc_core.experiment import Experiment


@dataclass(frozen=True, slots=True)
class Challenge:
    """What comparing a snapshot's best model with the champion gave.

    Attributes:
        champion: the promotion in force before; None for the first.
        challenger: the best model of the snapshot.
        contest: what both scored; None where there was nothing to compare.
        is_promoted: whether the rule lets the challenger take the place.
        finding: the verdict and its reason.
    """

    champion: Champion | None
    challenger: Predictor
    contest: Contest | None
    is_promoted: bool
    finding: Finding


def candidate(experiment: Experiment, snapshot: str) -> Predictor:
    """Return the best model of a snapshot: of the best combination, the one that judged best.

    Only the split that judges training ranks, never the test split.

    Raises:
        TrainingError: nothing is trained yet, or every model diverged.
    """
    queue = queue_of(experiment, snapshot)
    metric, judged_on = experiment.leading_metric, queue.splitset.judged_on
    trained = leaderboard.entries(queue, metric)
    ranked = leaderboard.standings(trained, judged_on, metric=metric)
    usable = [
        entry
        for entry in trained
        if ranked
        and entry.combo_key == ranked[0].combo_key
        and math.isfinite(entry.scores[judged_on])
    ]
    if not usable:
        message = f"{experiment.name}: no model of snapshot {snapshot!r} can be used: " + (
            "each diverged." if trained else "none is trained; materialise its predictor."
        )
        raise TrainingError(message)
    sign = -1.0 if experiment.lower_is_better else 1.0
    best = max(usable, key=lambda entry: (sign * entry.scores[judged_on], -entry.predictor_id))
    return Predictor.get_by_id(best.predictor_id)


def challenge(experiment: Experiment, snapshot: str) -> Challenge:
    """Compare a snapshot's best model with the champion; nothing is promoted by it."""
    challenger, champion = candidate(experiment, snapshot), Champion.of(experiment.name)
    if champion is None:
        first = Finding(PASSED, "There was no champion before.")
        return Challenge(None, challenger, None, is_promoted=True, finding=first)
    if champion.predictor_id in (challenger.id, challenger.adopted_from):
        same = Finding(PASSED, f"Predictor {champion.predictor_id} is the champion already.")
        return Challenge(champion, challenger, None, is_promoted=False, finding=same)
    rule = experiment.promotion
    found = compare(
        champion.predictor,
        challenger,
        metric=rule.metric or experiment.leading_metric,
        split=rule.split,
        level=rule.level,
    )
    is_by_chance = rule.max_p is not None and not found.p_value <= rule.max_p
    is_promoted = found.gain >= rule.min_improvement and not is_by_chance
    finding = found.finding()
    if finding.verdict == PASSED and not is_promoted:
        asked = f"the rule asks for {rule.min_improvement:g}"
        if rule.max_p is not None:
            asked += f" with p of at most {rule.max_p:g}"
        finding = Finding(WARNING, f"{finding.summary} Not promoted: {asked}.", finding.facts)
    return Challenge(champion, challenger, found, is_promoted, finding)


def crown(experiment: Experiment, snapshot: str) -> tuple[Champion, Challenge]:
    """Promote a snapshot's best model when the rule lets it; return the champion after that."""
    result = challenge(experiment, snapshot)
    if not result.is_promoted:
        return champion(experiment), result
    with metastore.atomic():
        row = Champion.create(
            experiment=experiment.name,
            snapshot=snapshot,
            reason=result.finding.summary,
            contest={} if result.contest is None else asdict(result.contest),
            predictor=result.challenger,
        )
    return row, result


def champion(experiment: Experiment) -> Champion:
    """Return the champion of an experiment.

    Raises:
        NotFoundError: nothing was promoted yet.
    """
    found = Champion.of(experiment.name)
    if found is None:
        message = (
            f"{experiment.name} has no champion yet; materialise {experiment.name}/champion, or "
            f"run retrain_{experiment.name}."
        )
        raise NotFoundError(message)
    return found
