"""Fitted classifiers as ONNX files, and their prediction without torch."""
