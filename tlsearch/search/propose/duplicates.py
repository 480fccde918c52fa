"""The configurations that a study trains, with a fast lookup of duplicates."""

from collections import defaultdict
from collections.abc import Iterable

from tlsearch.config.trial_config import TrialConfig


class Tried:
    """The configuration of each trial, and the trials that share a configuration.

    Configurations are looked up by digest, so that a proposal takes as long in a study of ten
    thousand trials as in one of ten.
    """

    def __init__(self, trials: Iterable[tuple[int, TrialConfig]] = ()) -> None:
        self._configs: dict[int, TrialConfig] = {}
        self._digests: set[str] = set()
        self._alike: dict[str, list[int]] = defaultdict(list)  # by digest without the seed
        for number, trial in trials:
            self.add(number, trial)

    def add(self, number: int, trial: TrialConfig) -> None:
        """Record the configuration of a trial."""
        self._configs[number] = trial
        self._digests.add(trial.digest)
        self._alike[_seedless(trial)].append(number)

    def __contains__(self, number: int) -> bool:
        return number in self._configs

    def __getitem__(self, number: int) -> TrialConfig:
        return self._configs[number]

    def trains(self, trial: TrialConfig) -> bool:
        """Return whether a trial of the study has this configuration with the same seed."""
        return trial.digest in self._digests

    def alike(self, trial: TrialConfig) -> list[int]:
        """Return the trials that have this configuration with any seed."""
        return self._alike.get(_seedless(trial), [])


def _seedless(trial: TrialConfig) -> str:
    return trial.model_copy(update={"seed": 0}).digest
