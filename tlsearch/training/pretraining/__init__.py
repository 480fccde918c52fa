"""Pretraining of small backbones on labelled images, as for the shipped ones: source tasks and
training.
"""
