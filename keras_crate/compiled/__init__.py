"""What compiled models name in their files: losses, metrics, optimizers, schedules.

`import keras_crate` imports this room, so that `keras.saving.load_model` finds them.
"""
