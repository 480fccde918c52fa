"""The images, labels and splits of a search, and the problems found in them. `kinds` reads each
kind of source; everything else works on its listing of examples. No neural network is used here.
"""
