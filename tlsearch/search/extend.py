"""The extension of a study by more trials, more time or another space, and what must not change."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tlsearch.base import yaml_text
from tlsearch.base.errors import ConfigError
from tlsearch.config.load import dump, parse
from tlsearch.config.schema import SearchConfig, values_outside
from tlsearch.results.record.directory import package_versions

# Settings that may differ between trials ranked together, or that do not affect trials.
MAY_CHANGE = (
    "space",
    "trials",
    "confirm",
    "time_budget",
    "scheduler",
    "prior",
    "resources",
    "export",
    "cache",
    "cache_gb",
    "tensorboard",
    "sync_s",
)
# Reasons why the other settings may not change.
STAYS = {
    "data": "trials on other images or splits cannot be ranked together",
    "metric": "trials are ranked by one metric",
    "seed": "trials that share a seed differ by their configuration alone",
    "epochs": "trials are compared after equal epochs",
    "warm_up_epochs": "every trial begins after the same warm-up",
    "warm_up_lr": "every trial begins after the same warm-up",
    "baselines": "they are tried first, which has been done",
}
_ELSE = "it was the same for all trials so far"


@dataclass(frozen=True)
class Extension:
    """The changes requested of `resume`: `trials` as 40 or +20, `time` as 30m or +10m, and
    `settings` as `KEY=VALUE`.
    """

    trials: str | None = None
    time: str | None = None
    settings: tuple[str, ...] = ()


NO_CHANGES = Extension()


def extend_config(
    config: SearchConfig, extension: Extension, ended: int = 0, spent_s: float = 0.0
) -> SearchConfig:
    """Return the configuration of a study that is extended after `ended` trials and `spent_s`
    seconds.

    Additional time counts from the end of the budget, or from now if the budget is used up. Raises
    ConfigError for a change after which old and new trials could not be ranked together, and for
    fewer trials than have ended.
    """
    if extension == NO_CHANGES:
        return config
    settings = [*extension.settings]
    if extension.trials is not None:
        settings.append(f"trials={_trials(extension.trials, config.trials)}")
    changed = _set(config, settings).anchored()
    if extension.time is not None:
        changed = changed.model_copy(update={"time_budget": _time(config, extension.time, spent_s)})
    problems = [*_refused_changes(config, changed), *_too_few(changed, ended)]
    if problems:
        raise ConfigError(problems)
    return changed


def changes(config: SearchConfig, changed: SearchConfig) -> dict[str, dict[str, Any]]:
    """Return the settings that differ: dotted key -> old value (`from`) and new value (`to`)."""
    before, after = _flat(plain_config(config)), _flat(plain_config(changed))
    keys = [*before, *(key for key in after if key not in before)]
    return {
        key: {"from": before.get(key), "to": after.get(key)}
        for key in keys
        if before.get(key) != after.get(key)
    }


def extension_entry(config: SearchConfig, changed: SearchConfig, ended: int) -> dict[str, object]:
    """Return the entry of an extension in study.yaml: time, number of ended trials, changes,
    versions.
    """
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "after_trials": ended,
        "changes": changes(config, changed),
        "versions": package_versions(),
    }


def _set(config: SearchConfig, settings: list[str]) -> SearchConfig:
    """Set some keys of a configuration, and keep only the baselines that its space still holds."""
    bare = config.model_copy(update={"baselines": ()})
    recorded = any(config.space.untrained())  # only older versions accepted such a space
    changed = parse(dump(bare), "study.yaml", settings, recorded=recorded)
    if changed.baselines:
        return changed
    held = [
        baseline for baseline in config.baselines if not values_outside(baseline, changed.space)
    ]
    return changed.model_copy(update={"baselines": tuple(held)})


def _refused_changes(config: SearchConfig, changed: SearchConfig) -> list[str]:
    return [
        f"--set {key}: found {_quote(change['to'])}, expected {_quote(change['from'])} "
        f"as the study began: {STAYS.get(key.split('.')[0], _ELSE)}; start another study for it"
        for key, change in changes(config, changed).items()
        if key.split(".")[0] not in MAY_CHANGE and not _only_drops_baselines(config, changed, key)
    ]


def _quote(value: object) -> str:
    return "no value" if value is None else repr(value)


def _only_drops_baselines(config: SearchConfig, changed: SearchConfig, key: str) -> bool:
    """Whether a change only removes baselines, which the new space no longer holds."""
    return key == "baselines" and all(b in config.baselines for b in changed.baselines)


def _too_few(changed: SearchConfig, ended: int) -> list[str]:
    if changed.trials >= ended:
        return []
    return [f"--trials: found {changed.trials}, expected {ended} or more: as many have ended"]


def _trials(text: str, before: int) -> int:
    if not re.fullmatch(r"\+?\d{1,9}", text):
        raise ConfigError([f"--trials: found {text!r}, expected a number of trials, or +20 more"])
    return before + int(text) if text.startswith("+") else int(text)


def _time(config: SearchConfig, text: str, spent_s: float) -> float:
    """The new total budget in seconds."""
    try:
        setting = f"time_budget={text.removeprefix('+')}"
        given = parse(dump(config), "study.yaml", [setting], recorded=True)
    except ConfigError as error:
        problems = [
            line.replace("--set time_budget: time_budget", "--time") for line in error.problems
        ]
        raise ConfigError(problems) from None
    more = given.time_budget
    if more is None:
        raise ConfigError([f"--time: found {text!r}, expected a time as in 90s, 20m or +10m"])
    return max(config.time_budget or 0.0, spent_s) + more if text.startswith("+") else more


def plain_config(config: SearchConfig) -> dict[str, object]:
    """Return a configuration as the plain values that study.yaml holds."""
    values: dict[str, Any] = yaml_text.plain_values(dump(config))
    return values


def _flat(values: Mapping[str, object], above: str = "") -> dict[str, object]:
    """Flatten nested keys to dotted ones; a dimension of the space stays one value."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and above != "space.":
            found |= _flat(value, f"{above}{key}.")
        else:
            found[f"{above}{key}"] = value
    return found
