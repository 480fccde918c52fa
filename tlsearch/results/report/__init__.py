"""What people read of a study: the table, the page, the comparison, each from the record and the
small files beside it. A report never needs the images or the network.
"""
