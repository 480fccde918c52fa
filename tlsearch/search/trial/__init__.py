"""One trial from outside: the Ray actor that runs it, the workplace it trains in, and the images
it trains on, ready before it begins.
"""
