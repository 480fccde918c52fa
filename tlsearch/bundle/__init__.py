"""Exported models: opened, checked, evaluated and served without the training code.
Only the loaders import TensorFlow, LiteRT or ONNX Runtime, and only if a file needs them.
"""
