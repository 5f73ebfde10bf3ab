# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Export and serve
#
# At the end you have an ONNX file of a model, and a small HTTP server that classifies images with it. You compare
# the answers with the model's predictions.
#
# It needs `pip install ".[demo,export]"` (under JAX `".[demo,export-jax]"`) and a backend, and takes less than a
# minute on two CPU cores.

# %% [markdown]
# ## Fuse
#
# `fuse` returns a model that computes the same function with fewer multiplications, for inference.

# %%
import json
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

import keras_crate  # before keras, for which it picks an installed backend
import numpy as np

model = keras_crate.load("crate_digits")
fused = keras_crate.fuse(model)
digits = keras_crate.data.load("digits").validation
batches = keras_crate.evaluation.Evaluation.for_model(model).batches(digits, model, 64)
images = np.asarray(batches[0][0], "float32")
expected = model.predict(images, verbose=0)
print(f"largest difference: {abs(fused.predict(images, verbose=0) - expected).max():.1g}")

# %% [markdown]
# ## Export to ONNX
#
# The file takes batches of any size. It needs neither Keras nor this package to run.

# %%
fused.export("digits.onnx", format="onnx")

# %% [markdown]
# ## Run the file
#
# ONNX Runtime gives the model's probabilities up to rounding.

# %%
import onnxruntime

session = onnxruntime.InferenceSession("digits.onnx", providers=["CPUExecutionProvider"])
[entry] = session.get_inputs()
print(entry.name, entry.shape, entry.type)
[outputs] = session.run(None, {entry.name: images})
print(f"largest difference: {abs(outputs - expected).max():.1g}")

# %% [markdown]
# ## Serve
#
# This server takes images as JSON and answers with the likeliest class of each. It uses Python's standard
# library, and only this computer can reach it. For production, use a server that is made for it.

# %%
names = model.class_names


class Classify(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        asked = np.asarray(json.loads(body), "float32")
        [probabilities] = session.run(None, {entry.name: asked})
        found = [
            {"class": names[k], "probability": float(p[k])}
            for p, k in zip(probabilities, probabilities.argmax(axis=1), strict=True)
        ]
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(found).encode())

    def log_message(self, *_):  # no line for each request
        pass


server = HTTPServer(("127.0.0.1", 0), Classify)
threading.Thread(target=server.serve_forever, daemon=True).start()

# %% [markdown]
# A client sends three images, and gets a class and a probability for each.

# %%
request = urllib.request.Request(
    f"http://127.0.0.1:{server.server_port}", json.dumps(images[:3].tolist()).encode()
)
with urllib.request.urlopen(request) as response:
    answers = json.load(response)
server.shutdown()
for answer, probabilities in zip(answers, expected, strict=False):
    print(answer, f"the model: {names[probabilities.argmax()]}, {probabilities.max():.4f}")

# %% [markdown]
# ## Other formats
#
# `format` is one of `"onnx"`, `"openvino"`, `"tf_saved_model"`, `"litert"` and `"torch"`. Each backend
# writes some of them:

# %%
from keras_crate.export import format_table

print(format_table())

# %% [markdown]
# In a shell, this fuses and exports:
#
# ```bash
# keras-crate export crate_digits digits.onnx
# ```
#
# ## See also
#
# - API: [models](../api/models.md) with `fuse`, [export](../api/export.md)
# - [Speed and memory](../speed.md): what fusing gains, and ONNX Runtime beside the backends
# - [Publish and pull](publish_and_pull.ipynb)
