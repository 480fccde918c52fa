"""The study on disk: the paths of its directory, and its journal, read and written only here.
`rank` derives the ranking from this record.
"""
