"""The Ray side of a trial: the actor that runs it, the workplace that all trials of a study share,
and the images and weight files that are checked before the first trial.
"""
