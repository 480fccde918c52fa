"""Early stopping: the rules, whose decisions give their reasons, and their Ray Tune scheduler."""
