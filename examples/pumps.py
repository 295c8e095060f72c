"""How unusual a pump runs in a window, by a model that train_pumps.py has made of healthy ones."""

from functools import cache
from pathlib import Path

import joblib


@cache
def load_model():
    """Read once by each process that calls the function."""
    return joblib.load(Path(__file__).with_name("pumps.joblib"))


def features(readings):
    """What the model sees of a window: mean and spread of each key. Training and use share it."""
    keys = readings[["pressure", "vibration"]].dropna()
    return [*keys.mean(), *keys.std(ddof=0)] if len(keys) > 1 else None


def health(readings):
    found = features(readings)
    if found is None:
        return {}
    model = load_model()
    return {"unusual": model.mahalanobis([found])[0] ** 0.5, "anomalous": float(model.predict([found])[0] < 0)}
