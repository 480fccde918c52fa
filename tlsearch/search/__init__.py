"""Searches of many trials on Ray; sets Ray's environment variables before Ray is imported."""

import os

# Ray and Ray Tune read these when they are imported.
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative data paths stay valid
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AUTH_MODE": "token",  # no other user can use the cluster
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # they cost more than small trials
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # our handler ranks the trials done so far
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_MAX_PENDING_TRIALS_PG": "16",
}

for name, value in _SETTINGS.items():
    os.environ.setdefault(name, value)
