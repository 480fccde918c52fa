"""The scheduler that a search asks for, knowing what the journal knows."""

from collections.abc import Iterable

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from tlsearch.config.scheduler import Asha, Hyperband, Median, Promotion
from tlsearch.config.schema import SearchConfig
from tlsearch.results.record.journal import TrialRecord
from tlsearch.search.stop.halving import ExplainedHalving
from tlsearch.search.stop.median import ExplainedMedian
from tlsearch.search.stop.promotion import PromotingAsha


def build_scheduler(
    config: SearchConfig, history: Iterable[TrialRecord], reasons: dict[int, str]
) -> TrialScheduler:
    """The scheduler of a search; `reasons` receives, by trial number, why it stopped a trial."""
    scheduler = _empty(config, reasons)
    if scheduler is None:
        return FIFOScheduler()
    scheduler.rebuild(history)
    return scheduler


def _empty(
    config: SearchConfig, reasons: dict[int, str]
) -> ExplainedHalving | ExplainedMedian | PromotingAsha | None:
    asked = config.scheduler
    if isinstance(asked, Asha | Hyperband):
        return ExplainedHalving(
            direction=config.direction,
            epochs=config.epochs,
            first_rung=asked.first_rung,
            reduction=asked.reduction,
            reasons=reasons,
            brackets=asked.brackets if isinstance(asked, Hyperband) else 1,
            seed=config.seed,
        )
    if isinstance(asked, Median):
        return ExplainedMedian(
            direction=config.direction,
            grace=asked.grace,
            min_trials=asked.min_trials,
            reasons=reasons,
        )
    if isinstance(asked, Promotion):
        return PromotingAsha(
            direction=config.direction,
            epochs=config.epochs,
            first_rung=asked.first_rung,
            reduction=asked.reduction,
        )
    return None
