"""Training on several devices and processes, by the engines of JAX, TensorFlow and PyTorch."""
