"""After the last trial: the best ones confirmed on fresh seeds, the winner exported and tested
once, and what the report shows of it kept.
"""
