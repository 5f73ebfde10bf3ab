"""What `import keras_crate` costs after `import keras`.

    KERAS_BACKEND=jax python benchmarks/import_time.py

Prints the median seconds of seven fresh processes.
"""

import statistics

from script import in_fresh_process

CODE = """
import time, keras
start = time.perf_counter()
import keras_crate
print(time.perf_counter() - start)
"""


def main():
    seconds = statistics.median(in_fresh_process("-c", CODE) for _ in range(7))
    print(f"import keras_crate after import keras: {seconds:.3f} s")


if __name__ == "__main__":
    main()
