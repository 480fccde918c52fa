"""Commands that prepare or run a search: run, resume, validate, init, backbones, plan."""
