"""The frozen part of the network, computed once: passes over a split into the feature store, and
the augmented views of the training images.
"""
