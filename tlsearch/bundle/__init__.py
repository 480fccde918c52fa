"""An exported model: opened, checked, evaluated and served without the code that trained it.
TensorFlow, LiteRT and ONNX Runtime are imported by its loaders alone, when a file needs them.
"""
