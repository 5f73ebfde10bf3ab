"""What compiled models name in their files: losses, metrics and optimizers of the package.

`import keras_crate` imports this room, so that `keras.saving.load_model` finds them.
"""
