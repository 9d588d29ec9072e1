"""Whether what comes now is like what a champion was trained on: inputs, scores, calibration, new things."""
