import numpy as np

from keras_crate.objective.running import RunningStatistics


def test_agrees_with_numpy_however_the_stream_is_cut(rng):
    values = 1e6 + rng.normal(size=(20, 3))
    for cuts in ([], [1], [3, 4, 11]):
        running = RunningStatistics()
        for part in np.split(values, cuts):
            running.update(part)
        assert running.count == 20
        np.testing.assert_allclose(running.mean, values.mean(axis=0), rtol=1e-15)
        for ddof in (0, 1):
            np.testing.assert_allclose(running.std(ddof), values.std(axis=0, ddof=ddof), rtol=1e-8)


def test_a_single_value_has_no_deviation():
    running = RunningStatistics()
    running.update(np.array([[2.0, 3.0]]))
    assert running.std(1).tolist() == [0, 0]
