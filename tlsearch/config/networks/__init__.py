"""What is known of networks without TensorFlow: their layers and blocks, and how well they do."""
