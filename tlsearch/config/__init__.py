"""The configuration of a search as checked, frozen values, read from YAML with the line of every
mistake; and the catalogue of the names that it can use. Nothing here opens an image.
"""
