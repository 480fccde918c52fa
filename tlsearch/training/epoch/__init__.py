"""The compiled epoch and the cache of a process between trials: the training loop, its optimizer
and learning-rate schedule, the executor, and the training history of an epoch.
"""
