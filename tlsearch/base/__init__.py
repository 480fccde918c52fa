"""Code that every other package uses: errors with exit codes, atomic file writes, YAML within
limits, progress of long work, facts about this machine. It knows no images, studies or trials.
"""
