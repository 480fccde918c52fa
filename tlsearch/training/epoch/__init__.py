"""One compiled epoch, and what a process keeps of it between trials: the loop, its optimizer and
rate schedule, the executor, the history that it leaves.
"""
