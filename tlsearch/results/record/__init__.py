"""The study on disk: its journal, read and written in one place, and the paths of its directory.
What the record means for a ranking is `rank`'s.
"""
