"""The command line: argv -> one call -> exit code. The only room that prints; each sub-room holds a
group of commands, whose work is imported when a command runs.
"""
