"""Export a trained trial as a bundle: one complete model, written in each format, each file
reloaded in a clean process and compared, and the model card.
"""
