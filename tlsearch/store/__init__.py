"""Arrays on disk by the digest of what they depend on: opened, or computed once under a lock.
The store knows sizes, budgets and damage; what its arrays mean is known to the floors above.
"""
