"""Tried configurations are found by digest exactly as by comparing every configuration."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tlsearch.config.trial_config import TrialConfig
from tlsearch.search.propose.duplicates import Tried

# Few values, and learning rates that are unused if the backbone is frozen or if it is not.
configs = st.builds(
    TrialConfig,
    backbone=st.just("strokes"),
    unfrozen_layers=st.sampled_from([0, 15]),
    head_lr=st.sampled_from([1e-3, 1e-2]),
    fine_tune_lr=st.sampled_from([1e-4, 1e-3]),
    seed=st.sampled_from([0, 7]),
)


def seedless(trial):
    return trial.effective.model_copy(update={"seed": 0})


@settings(deadline=None)
@given(st.lists(configs, max_size=6), configs)
def test_it_knows_what_trains_the_same(known, asked) -> None:
    tried = Tried(enumerate(known))
    assert tried.trains(asked) == (asked.effective in {trial.effective for trial in known})
    alike = [n for n, trial in enumerate(known) if seedless(trial) == seedless(asked)]
    assert tried.alike(asked) == alike
    assert all(tried[n] == trial for n, trial in enumerate(known))
    assert len(known) not in tried
