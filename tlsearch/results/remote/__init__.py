"""A study in a bucket or on a shared disk: its files brought in step with a local copy, and the
lease by which one driver alone works on it.
"""
