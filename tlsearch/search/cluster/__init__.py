"""Machines: Ray started or joined, the nodes and what fits on them, the checks before the first
trial, files sent between nodes, and searches handed in as jobs.
"""
