"""The command line: argv -> one call -> exit code. The only package that prints. Each subpackage
holds a group of commands; a command imports the code that it calls when it runs.
"""
