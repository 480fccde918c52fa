"""The command line: argv -> one call -> exit code. Only this package prints, except for the events
of a search in a notebook. Each subpackage holds a group of commands; a command imports the code
that it calls when it runs.
"""
