"""Which weights exist, how their files are read, and how a model gets them."""
