"""Which species of iris? Keras, multi-class."""
