"""The network of a trial: a pretrained backbone, the cut that divides it in two, the head, and the
multiply-adds of each part.
"""
