"""Networks of KerasHub built from plain Keras layers, block by block, with the weights that
KerasHub publishes.
"""
