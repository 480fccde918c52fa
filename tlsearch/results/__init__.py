"""What happened in a study, from its record to its report. Nothing here trains, and no image is
read: `record` < `rank` < `live` and `remote` < `report`, each importing only what stands before it.
"""
