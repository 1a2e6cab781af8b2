"""Compare the best model of a snapshot with the model in use, and promote the better one."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from aiqc_core.errors import AIQCError, MetastoreError, NotFoundError, TrainingError
from aiqc_core.experiment.workflow.training import queue_of
from aiqc_core.orm import Champion, Predictor, Queue, Snapshot
from aiqc_core.orm.results import leaderboard
from aiqc_core.orm.results.paired_evaluation import compare
from aiqc_core.orm.store.database import metastore
from aiqc_core.orm.training import job_queries
from aiqc_core.stages.evaluate.checks import PASSED, WARNING, Finding

if TYPE_CHECKING:
    from aiqc_core.experiment import Experiment
    from aiqc_core.stages.evaluate.bootstrap import Contest


@dataclass(frozen=True, slots=True)
class Challenge:
    """What comparing a snapshot's best model with the champion gave.

    Attributes:
        champion: the promotion in force before; None for the first.
        challenger: the best model of the snapshot; None where none can be used.
        finding: the verdict and its reason.
        contest: what both scored; None where there was nothing to compare, or it could not be.
        is_promoted: whether the rule lets the challenger take the place.
    """

    champion: Champion | None
    challenger: Predictor | None
    finding: Finding
    contest: Contest | None = None
    is_promoted: bool = False


def candidate(experiment: Experiment, snapshot: str) -> Predictor:
    """Return the best scored model of a snapshot's best combination.

    Only the split that judges training ranks, never the test split.

    Raises:
        TrainingError: nothing is trained yet, or every model diverged.
    """
    none = f"{experiment.name}: no model of snapshot {snapshot!r}"
    return _best(queue_of(experiment, snapshot), none)


def _best(queue: Queue, none: str, metric: str | None = None) -> Predictor:
    """Return the best model by a metric, or by the loss where that is undefined.

    `none` begins the message where no model can be used.
    """
    declared = leaderboard.Board.of(queue, metric)
    for board in (declared, leaderboard.Board.of(queue, "loss")):
        measure = board.measure
        usable = [
            entry
            for entry in board.trained
            if entry.combo_key == board.ranked[0].combo_key
            and math.isfinite(entry.scores[measure.split])
        ]
        if usable:
            sign = -1.0 if measure.lower_is_better else 1.0
            best = max(usable, key=lambda e: (sign * e.scores[measure.split], -e.predictor_id))
            return Predictor.get_by_id(best.predictor_id)
    message = f"{none} can be used: " + (
        "each diverged." if declared.trained else "none is trained; materialise its predictor."
    )
    raise TrainingError(message)


def challenge(experiment: Experiment, snapshot: str) -> Challenge:
    """Compare a snapshot's best model with the champion; nothing is promoted by it.

    Where the data changed so that the two cannot be compared (columns, classes, label, analysis),
    or no model can be used, the verdict is a warning that says how to promote all the same. Only a
    store that cannot be read raises.
    """
    champion = Champion.of(experiment.name)
    try:
        challenger = candidate(experiment, snapshot)
    except TrainingError as error:
        return Challenge(champion, None, Finding(WARNING, str(error)))
    if champion is None:
        why = leaderboard.Board.of(challenger.job.queue).undefined
        chosen = "" if why is None else f" {why} The least loss chose the model."
        first = Finding(PASSED, f"There was no champion before.{chosen}")
        return Challenge(None, challenger, first, is_promoted=True)
    if champion.predictor_id in (challenger.id, challenger.adopted_from):
        same = Finding(PASSED, f"Predictor {champion.predictor_id} is the champion already.")
        return Challenge(champion, challenger, same)
    rule = experiment.promotion
    try:
        found = compare(
            champion.predictor,
            challenger,
            metric=rule.metric or experiment.leading_metric,
            split=rule.split,
            level=rule.level,
        )
    except Exception as error:
        if isinstance(error, MetastoreError) and not isinstance(error, NotFoundError):
            raise  # the store is at fault, not the data
        cause = str(error) if isinstance(error, AIQCError) else f"{type(error).__name__}: {error}"
        summary = (
            f"The best model of snapshot {snapshot} (Predictor {challenger.id}) cannot be "
            f"compared with the champion of snapshot {champion.snapshot} (Predictor "
            f"{champion.predictor_id}): {cause.rstrip('.')}. {_by_hand(experiment.name, snapshot)}"
        )
        models = {"champion": champion.predictor_id, "challenger": challenger.id}
        finding = Finding(WARNING, summary, {**models, "reason": cause})
        return Challenge(champion, challenger, finding)
    is_by_chance = rule.max_p is not None and not found.p_value <= rule.max_p
    is_promoted = found.gain >= rule.min_improvement and not is_by_chance
    finding = found.finding()
    if finding.verdict == PASSED and not is_promoted:
        asked = f"the rule asks for {rule.min_improvement:g}"
        if rule.max_p is not None:
            asked += f" with p of at most {rule.max_p:g}"
        finding = Finding(WARNING, f"{finding.summary} Not promoted: {asked}.", finding.facts)
    elif finding.verdict == WARNING and not is_promoted:
        summary = f"{finding.summary} {_by_hand(experiment.name, snapshot)}"
        finding = Finding(WARNING, summary, finding.facts)
    return Challenge(champion, challenger, finding, found, is_promoted)


def crown(experiment: Experiment, snapshot: str) -> tuple[Champion, Challenge]:
    """Promote a snapshot's best model when the rule lets it; return the champion after that.

    Raise TrainingError where no model can be used, and there was no champion before.
    """
    result = challenge(experiment, snapshot)
    if result.is_promoted and result.challenger is not None:
        contest = {} if result.contest is None else asdict(result.contest)
        reason = result.finding.summary
        return _promoted(experiment.name, snapshot, result.challenger, reason, contest), result
    if result.champion is None:
        raise TrainingError(result.finding.summary)
    return result.champion, result


def promote(
    experiment: str, snapshot: str | None = None, predictor_id: int | None = None, reason: str = ""
) -> Champion:
    """Put a model in use because a person decides so, whatever a contest says or cannot say.

    Args:
        experiment: the declaration's name.
        snapshot: the snapshot of the model; the newest by default.
        predictor_id: which of its models; the best by default.
        reason: why, for those who read the history.

    Raises:
        NotFoundError: no such snapshot, or no such model in it.
        TrainingError: no model can be used.
    """
    of_it = Snapshot.select().where(Snapshot.experiment == experiment)
    trained = [row for row in of_it if "queue" in row.rows]
    rows = [row for row in trained if snapshot in {None, row.key}]
    if not rows:
        known = [row.key for row in trained]
        message = f"snapshot: {snapshot!r} is not trained; of {experiment!r} there are {known}."
        raise NotFoundError(message)
    newest = max(rows, key=lambda row: row.time_updated)
    queue = newest.get_row(Queue, "queue")
    if predictor_id is None:
        chosen = _best(queue, f"{experiment}: no model of snapshot {newest.key!r}", newest.metric)
    else:
        known = {row.id: row for row in job_queries.predictors_of(queue)}
        if predictor_id not in known:
            message = f"predictor: {predictor_id} is none of snapshot {newest.key!r}: {[*known]}."
            raise NotFoundError(message)
        chosen = known[predictor_id]
    return _promoted(experiment, newest.key, chosen, f"Promoted by hand. {reason}".strip(), {})


def _promoted(
    experiment: str, snapshot: str, predictor: Predictor, reason: str, contest: dict[str, Any]
) -> Champion:
    with metastore.atomic():
        row = {"experiment": experiment, "snapshot": snapshot, "predictor": predictor}
        return Champion.create(**row, reason=reason, contest=contest)


def _by_hand(experiment: str, snapshot: str) -> str:
    return (
        "The champion stays. To promote the challenger all the same: "
        f"aiqc promote {experiment} --snapshot {snapshot}"
    )


def champion(experiment: Experiment | str) -> Champion:
    """Return an experiment's champion; raise NotFoundError where nothing was promoted yet."""
    name = experiment if isinstance(experiment, str) else experiment.name
    found = Champion.of(name)
    if found is None:
        message = (
            f"{name} has no champion yet; materialise {name}/champion, or run retrain_{name}."
        )
        raise NotFoundError(message)
    return found
