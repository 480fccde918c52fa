"""One module for each kind of source: it turns a folder, a table or a data set into a listing of
examples. The rows that name them stand in `config.dataset`.
"""
