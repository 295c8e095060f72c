"""Turbulence of a window by eddy covariance: u towards the east, v towards the north, w upwards, temperature T."""

from itertools import combinations_with_replacement
from math import atan2, degrees


def statistics(readings):
    data = readings[["u", "v", "w", "T"]].dropna()
    if data.empty:
        return {}
    mean, cov = data.mean(), data.cov(ddof=0)
    results = {f"mean_{key}": mean[key] for key in data} | {"count": len(data)}
    results |= {f"cov_{a}{b}": cov.loc[a, b] for a, b in combinations_with_replacement(data, 2)}  # cov_uu: variance
    results["tke"] = (cov.loc["u", "u"] + cov.loc["v", "v"] + cov.loc["w", "w"]) / 2
    results["u_star"] = (cov.loc["u", "w"] ** 2 + cov.loc["v", "w"] ** 2) ** 0.25
    results["direction"] = degrees(atan2(-mean["u"], -mean["v"])) % 360  # that the wind comes from
    return results
