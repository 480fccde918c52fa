"""Commands before and during a search: run, resume, validate, init, backbones, plan, and the live
display.
"""
