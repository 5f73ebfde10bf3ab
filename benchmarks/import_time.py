"""What `import keras_crate` costs on top of `import keras`.

    KERAS_BACKEND=jax python benchmarks/import_time.py

Fresh processes, the two imports in turn; medians in seconds.
"""

import statistics
import subprocess
import sys

CODE = (
    "import time, keras; start = time.perf_counter(); import keras_crate; "
    "print(time.perf_counter() - start)"
)


def main():
    times = [
        float(subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True).stdout)
        for _ in range(7)
    ]
    print(f"import keras_crate after import keras: {statistics.median(times):.3f} s")


if __name__ == "__main__":
    main()
