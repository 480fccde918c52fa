"""What every floor stands on: errors with their exit codes, files that appear whole or not at
all, Markdown tables, and what machine this is. Nothing of images, studies or trials enters.
"""
