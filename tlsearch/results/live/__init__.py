"""A search while it runs: its events, how far it is, and the listeners that write them down."""
