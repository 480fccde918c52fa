"""Ranks a recorded study: the leader, the leaderboard, confidence intervals and paired tests, the
confirmed winner, parameter importance. It computes values only; `report` formats them.
"""
