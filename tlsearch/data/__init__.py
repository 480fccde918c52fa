"""Which images, labels and splits a search is on, and what is wrong with them. `kinds` reads each
kind of source; everything else works on the listing that a source gives. No network enters.
"""
