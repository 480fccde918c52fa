"""The search space as Optuna proposals, and truthful tells of what became of each trial."""

import json
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import Trial, TrialState
from ray.tune.search.optuna import OptunaSearch

from tlsearch.config.dimension import Choices, Range
from tlsearch.config.names import spell
from tlsearch.config.schema import SearchConfig
from tlsearch.config.trial import TrialConfig
from tlsearch.results.events import EpochReported, Listen, TrialBegan
from tlsearch.results.journal import (
    STUDY_NAME,
    StudyRecord,
    TrialRecord,
    mend,
    open_storage,
    read_trial,
)
from tlsearch.results.live import ended
from tlsearch.results.rungs import rungs_of
from tlsearch.search.outcome import Outcome, judge

# What every result of a trial carries; Tune aborts a search on a result without its metric.
METRIC = "value"
TIME_ATTR = "epoch"


_NOTED = ("seconds", "trained_parameters", "trained_share")

Announce = Callable[[TrialRecord, StudyRecord], None]


def unheard(event: object) -> None:
    """Listen to nothing."""


class Propose:
    """A search space as an Optuna define-by-run function; constants are not asked for."""

    def __init__(self, config: SearchConfig) -> None:
        self.config = config

    def __call__(self, trial: Any) -> dict[str, Any]:
        """Ask an Optuna trial for a point of the space: {"trial": the whole configuration}."""
        space = self.config.space
        chosen = {
            name: self._suggest(trial, name, getattr(space, name))
            for name in type(space).model_fields
            if name not in ("head_lr", "fine_tune_lr")
        }
        rate = "head_lr" if chosen["unfrozen_layers"] == 0 else "fine_tune_lr"
        chosen[rate] = self._suggest(trial, rate, getattr(space, rate))
        return {"trial": trial_config(self.config, chosen).to_json()}

    def _suggest(self, trial: Any, name: str, dimension: Choices[Any] | Range) -> Any:
        if isinstance(dimension, Choices):
            if dimension.constant:
                return dimension.values[0]
            names = {spell(value): value for value in dimension.values}
            return names[trial.suggest_categorical(name, list(names))]
        low, high, step = dimension.low, dimension.high, dimension.step
        if name in ("unfrozen_layers", "batch_size"):
            step = int(step or 1)
            return trial.suggest_int(name, int(low), int(high), log=dimension.log, step=step)
        return trial.suggest_float(name, low, high, log=dimension.log, step=step)


def trial_config(config: SearchConfig, chosen: Mapping[str, Any]) -> TrialConfig:
    """A point of the space with all that the study fixes: the whole truth of a trial."""
    unfrozen = chosen["unfrozen_layers"]
    cut = config.space.cut_for(unfrozen)
    return TrialConfig(
        **chosen,
        cut_layers=None if cut == unfrozen else cut,
        image_px=config.data.image_px,
        epochs=config.epochs,
        warm_up_epochs=config.warm_up_epochs,
        warm_up_lr=config.warm_up_lr,
        metric=config.metric,
        feature_dtype=config.feature_dtype,
        augment=config.augment,
        views=0 if config.views == "online" else config.views,
        view_seed=config.seed,
        seed=config.seed,
    )


def as_parameters(baseline: Mapping[str, Any], config: SearchConfig) -> dict[str, Any]:
    """A baseline as Optuna parameters: choices by their spelling, constants left out."""
    parameters = {}
    for name, value in baseline.items():
        dimension = getattr(config.space, name)
        if isinstance(dimension, Range):
            parameters[name] = value
        elif not dimension.constant:
            parameters[name] = spell(value)
    return parameters


class TruthfulSearch(OptunaSearch):
    """Ray's OptunaSearch, told by epoch, by outcome, and from a journal that outlives it.

    Stock OptunaSearch tells a stopped trial as complete and never records its last report; here
    it is pruned with that report, a diverged or failed one is pruned and infeasible, and one that
    the search's own end cut short is not told at all: `resume` takes it up again.
    `announce` hears of every trial that has come to its end, with the study as it then stands;
    `listen` of proposals and epochs.
    """

    def __init__(
        self, config: SearchConfig, journal: Path, announce: Announce, listen: Listen = unheard
    ) -> None:
        mend(journal)
        super().__init__(
            space=Propose(config),
            metric=METRIC,
            mode=config.direction,
            sampler=_sampler(config.seed),
            storage=open_storage(journal),
            study_name=STUDY_NAME,
        )
        self._config = config
        self._announce = announce
        self._listen = listen
        self._rungs = rungs_of(config.scheduler, config.epochs)
        self.reasons: dict[int, str] = {}  # filled by the scheduler: why it stopped a trial
        known = self.study.get_trials(deepcopy=False)
        if known:  # a sampler begun anew would propose once more what it proposed at first
            self.study.sampler = _sampler(config.seed + len(known))
        self._unfinished = deque(t._trial_id for t in known if t.state == TrialState.RUNNING)
        if not known:
            for baseline in config.baselines:
                self.study.enqueue_trial(as_parameters(baseline, config))

    @property
    def study(self) -> optuna.Study:
        """The Optuna study behind this searcher."""
        study: optuna.Study = self._ot_study
        return study

    def record(self) -> StudyRecord:
        """The study as it stands, without reading the journal again."""
        trials = tuple(read_trial(trial) for trial in self.study.get_trials(deepcopy=False))
        return StudyRecord(self._config.direction, trials)

    def remaining(self) -> int:
        """How many trials the study still owes: unfinished ones and new ones."""
        return self._config.trials - ended(self.record().trials)

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """The next configuration: trials cut short earlier first, then Optuna's proposal."""
        if trial_id not in self._ot_trials and self._unfinished:
            self._ot_trials[trial_id] = Trial(self.study, self._unfinished.popleft())
        proposal = super().suggest(trial_id)["trial"]
        trial = self._ot_trials[trial_id]
        trial.set_user_attr("config", json.dumps(proposal))
        self._listen(TrialBegan(trial.number, proposal))
        return {"number": trial.number, "trial": proposal}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Record the value of an epoch."""
        self._record(trial_id, result)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell Optuna what became of the trial."""
        trial = self._ot_trials.get(trial_id)
        if trial is None or trial_id in self._completed_trials:
            return
        if result is not None and result.get("fatal"):
            return  # it says nothing of the configuration: `resume` takes the trial up again
        if result is not None:
            self._record(trial_id, result)
        outcome = judge(result, error, self._config.epochs, self.reasons.get(trial.number))
        self._tell(trial, outcome, result or {})
        self._completed_trials.add(trial_id)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing for Ray to pickle either, whatever a listener holds on to."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journal is the record."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the journal is the record."""

    def _record(self, trial_id: str, result: Mapping[str, Any]) -> None:
        trial = self._ot_trials[trial_id]
        known = self._frozen(trial).intermediate_values  # of epochs that a resumed trial repeats
        sound = result.get("failure") is None and not result.get("diverged")
        epoch, value = result[TIME_ATTR], result[METRIC]
        if sound and epoch not in known:
            trial.report(value, epoch)
            self._listen(EpochReported(trial.number, epoch, value, epoch in self._rungs))

    def _tell(self, trial: Trial, outcome: Outcome, result: Mapping[str, Any]) -> None:
        notes = {"outcome": outcome.state, "reason": outcome.reason}
        notes |= {name: result[name] for name in _NOTED if name in result}
        notes["worker"] = f"{result.get('hostname', '')} {result.get('pid', '')}".strip()
        for name, value in notes.items():
            trial.set_user_attr(name, value)
        if not outcome.feasible:
            trial.set_constraint("sound", 1.0)
        if outcome.state == "finished":
            best = read_trial(self._frozen(trial)).best(self._config.direction)
            assert best is not None, "a finished trial has reported"
            self.study.tell(trial, best[1])
        else:
            self.study.tell(trial, state=TrialState.PRUNED)
        self._announce(read_trial(self._frozen(trial)), self.record())

    def _frozen(self, trial: Trial) -> optuna.trial.FrozenTrial:
        return self.study._storage.get_trial(trial._trial_id)


def _sampler(seed: int) -> optuna.samplers.BaseSampler:
    """TPE over groups of parameters that occur together, since rates are conditional."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            seed=seed, multivariate=True, group=True, constant_liar=True
        )
