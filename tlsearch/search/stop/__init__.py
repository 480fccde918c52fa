"""When a trial ends: the stopping rules, each saying why, and their adapter to Ray Tune."""
