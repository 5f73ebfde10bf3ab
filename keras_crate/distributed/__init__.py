"""Training on several devices and processes, with the engines of JAX, TensorFlow and PyTorch."""
