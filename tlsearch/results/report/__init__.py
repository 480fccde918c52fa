"""Reports of a study: the table, the HTML page, the comparison. They are made from the record and
the small files beside it, and need neither the images nor TensorFlow.
"""
