"""The Ray searcher that asks Optuna for proposals and tells it the true outcome of each trial."""

import json
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, Trial, TrialState
from ray.tune.search import Searcher

from tlsearch.config.scheduler import rungs_of
from tlsearch.config.schema import SearchConfig
from tlsearch.config.trial_config import TrialConfig
from tlsearch.results.live.events import (
    EpochReported,
    FeaturesWidened,
    Listen,
    TrialBegan,
    WorkerLost,
    ignore_event,
)
from tlsearch.results.rank.standings import Standings
from tlsearch.results.record.journal import (
    BY_PRIOR,
    FEATURE_DTYPE,
    KEPT,
    NETWORK,
    StudyRecord,
    TrialRecord,
    cut_incomplete_line,
    network_digests,
    network_name,
    open_storage,
    read_trial,
)
from tlsearch.search.propose import optuna_space
from tlsearch.search.propose.duplicates import Tried
from tlsearch.search.propose.first_trials import startup_trials
from tlsearch.search.propose.outcome import RETRIES, Outcome, journalled_result, outcome_of
from tlsearch.search.propose.prior import Sizes, prior_of
from tlsearch.search.propose.reopen import enqueue_baselines, newest_study
from tlsearch.search.propose.tpe_window import Window, as_pruned, tpe
from tlsearch.search.stop.decision import Decision
from tlsearch.search.stop.rules import rule_of
from tlsearch.search.stop.rungs import Rungs

# Keys of every result of a trial; Ray Tune aborts a search on a result without its metric.
METRIC = "value"
TIME_ATTR = "epoch"

Announce = Callable[[TrialRecord, Standings], None]


class TruthfulSearch(Searcher):
    """The Optuna study of a search as a Ray searcher; it records epochs and outcomes in a journal.

    Ray's own OptunaSearch tells Optuna that a stopped trial is complete, and never records its last
    report. Here a stopped trial is pruned with that report, and a diverged or failed one is pruned
    and infeasible. Optuna is not told about a trial that is cut short by the end of the search:
    `resume` continues it. A trial parked at a rung counts as running while it may still be
    promoted; after that Optuna is told that it was stopped. When every trial of the study has
    begun, none runs and none is due, the best trial of each rung is promoted, so that the best one
    is trained to its last epoch.
    `excused` returns whether a worker lost at a given time (`time.monotonic`) went down with its
    node: such a loss does not count against the trial. `announce` is called when a trial has ended,
    with the standings after it. `listen` receives the events of proposals, epochs, lost workers and
    widened features. Without `sizes` (of the data) the prior proposes nothing. The cost of an event
    does not grow with the number of trials, except for the trial lists of Optuna and Ray.
    """

    def __init__(
        self,
        config: SearchConfig,
        journal: Path,
        announce: Announce,
        listen: Listen = ignore_event,
        excused: Callable[[float], bool] = lambda lost_at: False,
        sizes: Sizes | None = None,
    ) -> None:
        super().__init__(metric=METRIC, mode=str(config.direction))
        cut_incomplete_line(journal)
        self._storage = open_storage(journal)
        self.study = newest_study(config, self._storage)
        self._id = partial(
            self._storage.get_trial_id_from_study_id_trial_number,
            self._storage.get_study_id_from_name(self.study.study_name),
        )
        self._config, self._announce, self._listen = config, announce, listen
        known = self.study.get_trials(deepcopy=False)
        self._prior = prior_of(config, sizes)
        # with the same seed the sampler of a resumed study would repeat its first proposals
        start = startup_trials(self._prior is not None)
        self.study.sampler = tpe(config.seed + len(known), start)
        record = self.record()
        self._rungs = Rungs(rule_of(config), record.trials)
        self._marks = rungs_of(config.scheduler, config.epochs)
        self._stopped: dict[int, Decision] = {}
        cut_short = (t.number for t in record.trials if t.state == "unfinished")
        self._unfinished = deque(n for n in cut_short if n not in self._rungs.parked)
        self._running: dict[str, Trial] = {}  # by Ray's ids
        self._excused = excused
        self._losses: defaultdict[int, list[float]] = defaultdict(list)
        self._tried = Tried((t.number, tried) for t in known if (tried := _recorded_config(t)))
        self._began = sum(t.state != TrialState.WAITING for t in known)
        self._standings = Standings.of(record)
        self._networks = network_digests(record.trials)
        self._widened = {t.config["backbone"] for t in record.trials if t.widened}
        self._window = Window(self.study)
        for number in self._rungs.parked:
            self._window.take(as_pruned(self._storage.get_trial(self._id(number))))
        if not known:
            enqueue_baselines(self.study, config)

    def record(self) -> StudyRecord:
        """Return the record of the study as it stands, without reading the journal again."""
        trials = tuple(read_trial(trial) for trial in self.study.get_trials(deepcopy=False))
        return StudyRecord(self._config.direction, trials)

    def remaining(self) -> int:
        """Return the number of trials left to train: unfinished ones and new ones."""
        return self._config.trials - self._standings.ended

    def suggest(self, trial_id: str) -> Any:
        """Return the next configuration: first of promoted trials, then of trials cut short or
        lost, then new ones; None while none is due but trials still run; FINISHED after that.
        """
        number = self._rungs.promote()
        if number is None and not self._unfinished and self._began >= self._config.trials:
            if self._running:
                return None
            number = self._rungs.promote(at_least=1)
            if number is None:
                self._dismiss(whole=True)
                return Searcher.FINISHED
        trial = self._running[trial_id] = self._next(number)
        if trial.number not in self._tried:
            self._tried.add(trial.number, self._propose(trial))
        proposal = self._tried[trial.number].to_json()
        self._listen(TrialBegan(trial.number, proposal))
        network = self._networks.get(network_name(proposal))
        known = {} if network is None else {NETWORK: network}
        return {"number": trial.number, "trial": proposal, **known}

    def _next(self, promoted: int | None) -> Trial:
        """The promoted trial, or else one that was cut short or lost, or else a new one."""
        if promoted is None and not self._unfinished:
            self._began += 1
            return self.study.ask()
        number = self._unfinished.popleft() if promoted is None else promoted
        return Trial(self.study, self._id(number))

    def _propose(self, trial: Trial) -> TrialConfig:
        frozen = self._frozen_trial(trial)
        ahead = self._prior.points(self.study, frozen, self._tried) if self._prior else ()
        draws = chain(ahead, optuna_space.draw_points(self._config, self._window.refresh(), frozen))
        point = optuna_space.first_novel(self._config, draws, self._tried)
        identity = self._id(trial.number)
        optuna_space.write_parameters(self._storage, identity, point, self._config.space)
        if point.replica_of is not None:
            trial.set_user_attr("replica_of", point.replica_of)
        if point.by_prior:
            trial.set_user_attr(BY_PRIOR, True)
        trial.set_user_attr("config", json.dumps(point.trial.to_json()))
        return point.trial

    def take(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """Record the value of an epoch; return whether the trial goes on."""
        trial = self._running.get(trial_id)
        if trial is not None:
            self._take(trial, result, over=False)
        return trial is None or trial.number not in self._stopped

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell Optuna the outcome of a trial, unless the trial is parked, was lost and is retried,
        or failed for a reason that ends the search.
        """
        trial = self._running.pop(trial_id, None)
        if trial is None:
            return
        stopped = self._stopped.pop(trial.number, None)
        if error and self._retry_if_lost(trial):
            return
        if result is not None and result.get("fatal"):
            return  # not the fault of the configuration: `resume` continues the trial
        if result is not None:
            self._take(trial, result, over=True)
        if result is not None and trial.number in self._rungs.parked:
            _note(trial, journalled_result(result))
        else:
            self._tell(trial, outcome_of(result, error, self._config.epochs, stopped), result or {})
        self._dismiss()

    def _dismiss(self, whole: bool = False) -> None:
        """Tell Optuna that parked trials which can no longer be promoted were stopped."""
        for decision in self._rungs.dismiss(whole):
            trial = Trial(self.study, self._id(decision.trial))
            worker = trial.user_attrs.get("worker", "")
            self._tell(trial, Outcome("stopped", str(decision)), {"worker": worker})

    def _retry_if_lost(self, trial: Trial) -> bool:
        """Queue a trial whose worker was lost to run next, and return whether it is retried.

        It is not if more than `RETRIES` of its workers were lost on nodes that stayed up. Ray's own
        retries do not cover a worker that dies while it restores the trial.
        """
        self._losses[trial.number].append(time.monotonic())
        excused = [self._excused(at) for at in self._losses[trial.number]]
        retried = excused.count(False) <= RETRIES
        epoch = max(self._frozen_trial(trial).intermediate_values, default=0)
        self._listen(WorkerLost(trial.number, epoch, left=excused[-1], retried=retried))
        if retried:
            self._unfinished.appendleft(trial.number)
        return retried

    def note(self, facts: Mapping[str, Any]) -> None:
        """Add facts of the study as a whole to the journal."""
        for name, value in facts.items():
            self.study.set_user_attr(name, value)

    def __getstate__(self) -> dict[str, object]:
        """Give Ray nothing to pickle, since a listener may hold anything."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the journal is the record."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: the journal is the record."""

    def _take(self, trial: Trial, result: Mapping[str, Any], over: bool) -> None:
        """Apply the stopping rule to a sound epoch, and record it, unless a resumed trial repeats
        it. If the trial is `over`, the value is recorded without a decision.
        """
        if result.get("failure") is not None or result.get("diverged"):
            return
        self._note_kept(trial, json.loads(result.get(KEPT, "{}")))
        known = self._frozen_trial(trial).intermediate_values
        epoch, value = result[TIME_ATTR], result[METRIC]
        decision = self._rungs.take(trial.number, epoch, value, known, over)
        if decision is not None and decision.stopped:
            self._stopped[trial.number] = decision
        if epoch in known:
            return
        if not known:
            self._note_network(trial, result.get(NETWORK))
        trial.report(value, epoch)
        if trial.number in self._rungs.parked:
            self._window.take(as_pruned(self._frozen_trial(trial)))
        if self._tried[trial.number].ranks(epoch):
            self._standings.report(trial.number, value)
        self._listen(EpochReported(trial.number, epoch, value, epoch in self._marks))
        self._tell_widened(trial, result.get(FEATURE_DTYPE))

    def _tell_widened(self, trial: Trial, found: str | None) -> None:
        """Record and report, once per backbone, that its features needed a wider dtype."""
        tried = self._tried[trial.number]
        if found in (None, tried.feature_dtype) or tried.backbone in self._widened:
            return
        self._widened.add(tried.backbone)
        trial.set_user_attr(FEATURE_DTYPE, found)
        self._listen(FeaturesWidened(tried.backbone, tried.feature_dtype, str(found)))

    def _note_network(self, trial: Trial, network: str | None) -> None:
        """Record the pretrained network of a trial; later trials of its backbone must use it."""
        if network is not None:
            trial.set_user_attr(NETWORK, network)
            self._networks.setdefault(network_name(self._tried[trial.number].to_json()), network)

    def _note_kept(self, trial: Trial, kept: Mapping[str, str]) -> None:
        """Record the digests of the files that a trial keeps, before the epoch that wrote them: if
        the driver is killed in between, the journal holds no epoch without its files.
        """
        if kept and kept != trial.user_attrs.get(KEPT):
            trial.set_user_attr(KEPT, kept)

    def _tell(self, trial: Trial, outcome: Outcome, result: Mapping[str, Any]) -> None:
        ending = {"outcome": outcome.state, "reason": outcome.reason}
        _note(trial, ending | journalled_result(result))
        if not outcome.feasible:
            trial.set_constraint("sound", 1.0)
        if optuna_space.parameters_of(self._tried[trial.number], self._config.space) is None:
            self.study.tell(trial, state=TrialState.FAIL)  # outside the space of TPE
        elif outcome.state == "finished":
            best = read_trial(self._frozen_trial(trial)).best(self._config.direction)
            assert best is not None, "a finished trial has reported"
            self.study.tell(trial, best[1])
        else:
            self.study.tell(trial, state=TrialState.PRUNED)
        frozen = self._frozen_trial(trial)
        self._window.take(frozen)
        self._standings.end(read_trial(frozen))
        self._announce(read_trial(frozen), self._standings)

    def _frozen_trial(self, trial: Trial) -> FrozenTrial:
        return self._storage.get_trial(self._id(trial.number))


def _note(trial: Trial, notes: Mapping[str, Any]) -> None:
    for name, value in notes.items():
        trial.set_user_attr(name, value)


def _recorded_config(trial: FrozenTrial) -> TrialConfig | None:
    """The configuration of a trial, None if the driver died before the trial had one."""
    noted = trial.user_attrs.get("config")
    return None if noted is None else TrialConfig(**json.loads(noted))
