"""What each framework does its own way: PyTorch and Keras behind one protocol."""
