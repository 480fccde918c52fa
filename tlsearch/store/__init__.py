"""Content-addressed arrays on disk: opened, or computed once under a lock. The store knows sizes,
budgets and damage; only the packages that use it know what the arrays mean.
"""
