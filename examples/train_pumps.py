"""Trains the model of pumps.py with readings of healthy pumps: python train_pumps.py healthy.csv"""

import sys
from pathlib import Path

import joblib
import pandas as pd
from pumps import features
from sklearn.covariance import EllipticEnvelope


def train(file):
    readings = pd.read_csv(file, parse_dates=["ts"])
    windows = readings.groupby(["deviceName", pd.Grouper(key="ts", freq="5s")])
    found = [features(window) for _, window in windows]
    return EllipticEnvelope(contamination=0.001, support_fraction=1).fit([row for row in found if row])


if __name__ == "__main__":
    model = Path(__file__).with_name("pumps.joblib")
    joblib.dump(train(sys.argv[1]), model)
    print(f"Written: {model}")
