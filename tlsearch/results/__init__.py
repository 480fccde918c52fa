"""The results of a study, from its record to its report. Nothing here trains or reads an image.
`record` < `rank` < `live` and `remote` < `report`: each package imports only those before it.
"""
