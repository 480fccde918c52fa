"""Which configuration comes next: the search space as Optuna sees it, the searcher that asks and
tells, what TPE reads of a study, what the prior proposes, and how an old study is opened again.
Optuna is imported here.
"""
