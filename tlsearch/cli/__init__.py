"""The command line: argv -> one call -> exit code. The only package that prints. Each subpackage
holds a group of commands, whose code is imported when the command runs.
"""
