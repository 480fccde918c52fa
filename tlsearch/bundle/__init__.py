"""An exported model and what is done with it; of TensorFlow only what an artifact needs to run."""
