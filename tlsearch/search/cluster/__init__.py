"""The Ray cluster of a search: start or join Ray, count the trials that fit on the nodes, check the
nodes before the first trial, transfer files between nodes, and submit searches as Ray jobs.
"""
