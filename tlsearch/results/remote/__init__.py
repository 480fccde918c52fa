"""Studies in a bucket or on a shared disk: synchronisation with a local copy, and the lease that
allows only one driver per study.
"""
