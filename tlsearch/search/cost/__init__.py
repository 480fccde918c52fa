"""The forecast of a search's time, memory and disk before its first trial, from backbone speeds
measured on this machine, the features that the cache will keep, and expected trials per epoch.
"""
