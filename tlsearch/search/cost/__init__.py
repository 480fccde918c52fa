"""What a search will cost, before its first trial: paces measured on this machine, what the cache
will keep, how many trials reach each epoch, and the forecast made of these.
"""
