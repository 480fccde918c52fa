"""Proposals of the next configuration with Optuna: the search space as Optuna distributions, the
searcher that asks and tells, the trials that TPE reads, the prior, and the reopening of a study.
"""
