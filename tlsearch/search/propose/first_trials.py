"""The first trials of a search, known before it begins: they follow from its seed and the prior,
since TPE has no results to learn from yet.
"""

from itertools import chain

import optuna

from tlsearch.config.schema import SearchConfig
from tlsearch.config.trial_config import TrialConfig
from tlsearch.search.propose.duplicates import Tried
from tlsearch.search.propose.optuna_space import draw_points, first_novel, write_parameters
from tlsearch.search.propose.prior import FIRST, Sizes, prior_of
from tlsearch.search.propose.reopen import enqueue_baselines
from tlsearch.search.propose.tpe_window import START, tpe


def startup_trials(prior: bool) -> int:
    """Return how many trials must have ended before TPE learns from them: more with the prior,
    which proposes some of them.
    """
    return 2 * FIRST if prior else START


def first_trials(config: SearchConfig, sizes: Sizes, slots: int) -> list[TrialConfig]:
    """Return the first trials that `TruthfulSearch` will propose in a new study with so many slots.

    When it proposes a trial, each of the other slots is still running one.
    """
    prior = prior_of(config, sizes)
    start = startup_trials(prior is not None)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=tpe(config.seed, start))
    enqueue_baselines(study, config)
    tried, count = Tried(), min(config.trials, start + slots - 1)
    for number in range(count):
        frozen = study._storage.get_trial(study.ask()._trial_id)
        ahead = prior.points(study, frozen, tried) if prior else ()
        point = first_novel(config, chain(ahead, draw_points(config, study, frozen)), tried)
        write_parameters(study._storage, frozen._trial_id, point, config.space)
        tried.add(number, point.trial)
    return [tried[number] for number in range(count)]
