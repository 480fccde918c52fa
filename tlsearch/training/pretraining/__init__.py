"""Small backbones made from labelled images, as the shipped ones were: what they are pretrained
on, and how.
"""
