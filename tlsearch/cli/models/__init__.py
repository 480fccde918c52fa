"""Commands about trained models: export, predict, evaluate, serve, pretrain."""
