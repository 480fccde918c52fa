"""From the record to an order: who leads, the ranked table, how far a score can be trusted, who
was confirmed, what mattered. Values only; how they are shown is `report`'s.
"""
