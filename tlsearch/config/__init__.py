"""What a user may say: the search space as checked, frozen values, read from YAML with the line
of every mistake, and the catalogue of what can be named. Nothing here opens an image.
"""
