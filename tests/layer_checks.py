"""Checks that every layer of the package must pass, written once."""

import keras
import numpy as np
import pytest
from compare import assert_close, outputs
from hypothesis import HealthCheck, settings
from keras.src.testing import TestCase

# Each new shape compiles anew, so few examples; the same ones every time.
small_search = settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.differing_executors],
)

POLICIES = ("float32", "mixed_float16", "mixed_bfloat16")


class LayerChecks:
    """Subclass with `cases`: (class, arguments, input shape, output shape, weights)."""

    cases: tuple = ()

    def _inputs(self, shape):
        return np.random.default_rng(1).normal(size=shape).astype("float32")

    def test_keras_own_layer_check(self):
        for layer_class, arguments, shape, output_shape, weights in self.cases:
            TestCase().run_layer_test(
                layer_class,
                init_kwargs=arguments,
                input_shape=shape,
                expected_output_shape=output_shape,
                expected_num_trainable_weights=weights,
                run_mixed_precision_check=True,
            )

    @pytest.mark.parametrize("policy", POLICIES)
    def test_dtype_policy(self, policy):
        for layer_class, arguments, shape, output_shape, _ in self.cases:
            exact = layer_class(**arguments)
            x = self._inputs(shape)
            expected = keras.ops.convert_to_numpy(exact(x))
            layer = layer_class(**arguments, dtype=policy)
            layer.build(shape)
            layer.set_weights(exact.get_weights())
            output = layer(x)
            assert keras.backend.standardize_dtype(output.dtype) == layer.compute_dtype
            output = keras.ops.convert_to_numpy(keras.ops.cast(output, "float32"))
            tolerance = {"float32": 1e-6, "mixed_float16": 0.02, "mixed_bfloat16": 0.15}[policy]
            assert_close(output, expected, atol=tolerance)
            assert layer.compute_output_shape(shape) == output_shape
            assert all(str(w.dtype) == "float32" for w in layer.weights)

    def test_unknown_batch_size(self):
        for layer_class, arguments, shape, output_shape, _ in self.cases:
            layer = layer_class(**arguments)
            inputs = keras.Input(shape[1:])
            outputs = layer(inputs)
            assert outputs.shape == (None, *output_shape[1:])
            model = keras.Model(inputs, outputs)
            for batch in (1, 3):
                x = self._inputs((batch, *shape[1:]))
                expected = keras.ops.convert_to_numpy(layer(x))
                assert_close(model.predict(x, verbose=0), expected, atol=1e-5)


class AdaptableLayerChecks(LayerChecks):
    """The same for layers with Keras layers inside that take LoRA and int8.

    `dense_parts` names them.
    """

    dense_parts: tuple[str, ...] = ()

    def test_lora_and_int8_survive_saving(self, tmp_path):
        layer_class, arguments, shape, *_ = self.cases[0]
        x = self._inputs(shape)
        for change in ("lora", "int8", "lora, int8"):
            inputs = keras.Input(shape[1:])
            layer = layer_class(**arguments)
            model = keras.Model(inputs, layer(inputs))
            if "lora" in change:
                for name in self.dense_parts:
                    part = getattr(layer, name)
                    part.enable_lora(2)
                    part.lora_kernel_b.assign(0.1 * self._inputs(part.lora_kernel_b.shape))
                assert len(layer.trainable_weights) < len(layer.weights)
            if "int8" in change:
                model.quantize("int8")
                kinds = [str(w.dtype) for w in layer.weights]
                assert kinds.count("int8") == len(self.dense_parts)
            expected = outputs(model, x)
            for turn in range(3):
                path = tmp_path / f"{turn}.keras"
                model.save(path)
                model = keras.saving.load_model(path)
                found = outputs(model, x)
                if change == "lora, int8":  # Keras merges the adapters and rounds again
                    assert np.linalg.norm(found - expected) < 0.05 * np.linalg.norm(expected)
                else:
                    assert_close(found, expected, atol=1e-5)
            if "int8" in change:
                kinds = [str(w.dtype) for w in model.weights]
                assert kinds.count("int8") == len(self.dense_parts)

    def test_int8_stays_close(self):
        layer_class, arguments, shape, *_ = self.cases[0]
        x = self._inputs(shape)
        inputs = keras.Input(shape[1:])
        model = keras.Model(inputs, layer_class(**arguments)(inputs))
        exact = outputs(model, x)
        model.quantize("int8")
        error = np.linalg.norm(outputs(model, x) - exact) / np.linalg.norm(exact)
        assert 0 < error < 0.05


def gradients(function, *arrays):
    """Gradients of a scalar function at NumPy arrays, on the backend at hand."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        found = jax.grad(function, argnums=tuple(range(len(arrays))))(*arrays)
    elif backend == "tensorflow":
        import tensorflow as tf

        variables = [tf.convert_to_tensor(a) for a in arrays]
        with tf.GradientTape() as tape:
            tape.watch(variables)
            value = function(*variables)
        found = tape.gradient(value, variables)
    else:
        import torch

        variables = [torch.tensor(a, requires_grad=True) for a in arrays]
        found = torch.autograd.grad(function(*variables), variables)
    return [keras.ops.convert_to_numpy(g) for g in found]
