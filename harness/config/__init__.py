"""YAML to experiments, workloads and settings; the only user of yaml."""

from harness.config.experiment import (
    ACCELERATORS,
    EXPERIMENT_KEYS,
    Request,
    build_experiment,
    find_experiment,
    load_experiment,
    request_from_options,
)
from harness.config.settings import SETTING_KEYS, Settings, load_settings
from harness.config.words import ab_command, consent_words, request_of, texts_of, words_of
from harness.config.workloads import load_workload, load_workloads

__all__ = [
    "ACCELERATORS",
    "EXPERIMENT_KEYS",
    "SETTING_KEYS",
    "Request",
    "Settings",
    "ab_command",
    "build_experiment",
    "consent_words",
    "find_experiment",
    "load_experiment",
    "load_settings",
    "load_workload",
    "load_workloads",
    "request_from_options",
    "request_of",
    "texts_of",
    "words_of",
]
