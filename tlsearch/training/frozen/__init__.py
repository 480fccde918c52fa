"""The frozen part of the network, computed once per split: passes into the feature store, and the
augmented views of the training images.
"""
