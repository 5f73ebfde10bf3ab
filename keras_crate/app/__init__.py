"""The page that looks inside models: `keras-crate app`."""
