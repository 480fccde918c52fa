"""The steps after the last trial: confirm the best trials on fresh seeds, refine the winner, export
it, evaluate it once on the test split, and store the images that the report shows.
"""
