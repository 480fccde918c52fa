"""One module for each kind of data source, which turns a folder, a table or a data set into a
listing of examples. `config.dataset.SOURCES` has a row for each kind.
"""
