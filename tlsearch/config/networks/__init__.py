"""Facts about networks that need no TensorFlow: layers and blocks, depths, published accuracy."""
