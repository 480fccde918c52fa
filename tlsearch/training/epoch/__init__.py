"""The compiled epoch and what a process keeps between trials: the training loop, its optimizer and
learning-rate schedule, the executor, and the training history of an epoch.
"""
