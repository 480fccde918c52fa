"""A running search: its events, its progress, and the listeners that record the events."""
