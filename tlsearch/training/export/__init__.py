"""From a trained trial to a bundle: the whole network as one model, written in each format, each
file reloaded in a clean process and compared; and the model card.
"""
