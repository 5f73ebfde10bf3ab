"""CRATE in eager PyTorch as the paper writes its equations, for comparison with the package.

Nothing is folded or compiled: ISTA takes its three products, and attention forms its scores.
Needs PyTorch, whatever Keras' backend is.
"""

import keras
import numpy as np

from keras_crate.extras import needed


class EagerCRATE:
    """A CRATE with the weights of a Keras model.

    Args:
        model: A `CRATE` with MSSA, ISTA and the head, without preprocessing,
            in channels-last format, not fused.
        device: A PyTorch device; by default the GPU if there is one.
        dtype: Name of the dtype that `torch.autocast` computes in.
    """

    def __init__(self, model, device: str | None = None, dtype: str = "float32"):
        with needed("torch", "The comparison with eager PyTorch needs"):
            import torch
        self.torch = torch
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        half = dtype != "float32"
        kind = getattr(torch, dtype)
        self.autocast = lambda: torch.autocast(torch.device(self.device).type, kind, enabled=half)
        self.patch = model.settings.patch_size
        self.depth, self.heads = model.settings.depth, model.settings.heads
        self.step_size, self.penalty = model.settings.step_size, model.settings.penalty
        self.parameters = {
            weight.path: torch.tensor(
                np.asarray(keras.ops.convert_to_numpy(weight), "float32"),
                device=self.device,
                requires_grad=True,
            )
            for weight in model.trainable_weights
        }
        self.optimizer = torch.optim.AdamW(self.parameters.values(), lr=1e-4)

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Logits of images, without gradients."""
        return self.logits(images).float().cpu().numpy()

    def logits(self, images):
        """Logits of images, as a tensor without gradients."""
        with self.torch.inference_mode(), self.autocast():
            return self._logits(self._tensor(images))

    def train(self, images: np.ndarray, labels: np.ndarray) -> float:
        """Makes one step of AdamW; returns the loss."""
        return self.train_step(images, labels).item()

    def train_step(self, images, labels):
        """Makes one step of AdamW; returns the loss as a tensor, without waiting for it."""
        labels = self._tensor(labels).long()
        with self.autocast():
            logits = self._logits(self._tensor(images))
            loss = self.torch.nn.functional.cross_entropy(logits, labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def _tensor(self, images):
        return self.torch.as_tensor(images, device=self.device)

    def _norm(self, z, name):
        scale, offset = (self.parameters[f"{name}/{part}"] for part in ("gamma", "beta"))
        return self.torch.nn.functional.layer_norm(z, z.shape[-1:], scale, offset, 1e-5)

    def _logits(self, images):
        p, torch = self.parameters, self.torch
        batch, height, width, channels = images.shape
        rows, columns = height // self.patch[0], width // self.patch[1]
        z = images.reshape(batch, rows, self.patch[0], columns, self.patch[1], channels)
        z = z.permute(0, 1, 3, 2, 4, 5).reshape(batch, rows * columns, -1)
        z = self._norm(z, "patch_embedding/patch_norm")
        z = z @ p["patch_embedding/projection/kernel"] + p["patch_embedding/projection/bias"]
        z = self._norm(z, "patch_embedding/norm")
        first = p["token_embedding/class_token"].expand(batch, -1, -1)
        z = torch.cat([first, z], dim=1) + p["token_embedding/positions"]
        for i in range(self.depth):
            z = z + self._mssa(self._norm(z, f"block_{i}_norm_1"), f"block_{i}_mssa")
            x = self._norm(z, f"block_{i}_norm_2")
            d = p[f"block_{i}_ista/dictionary/kernel"]
            gradient = x @ d - (x @ d.T) @ d
            z = torch.relu(x + self.step_size * gradient - self.step_size * self.penalty)
        return self._norm(z[:, 0], "head_norm") @ p["head/kernel"] + p["head/bias"]

    def _mssa(self, x, name):
        p, torch = self.parameters, self.torch
        batch, tokens, dim = x.shape
        w = (x @ p[f"{name}/subspaces/kernel"]).reshape(batch, tokens, self.heads, -1)
        w = w.transpose(1, 2)
        scores = torch.softmax(w @ w.transpose(-1, -2) / w.shape[-1] ** 0.5, dim=-1)
        parts = (scores @ w).transpose(1, 2).reshape(batch, tokens, dim)
        kernel, bias = (p[f"{name}/output_projection/{part}"] for part in ("kernel", "bias"))
        return parts @ kernel + bias
