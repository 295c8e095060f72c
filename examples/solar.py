"""How far each module of a panel is from the panel's mean, in standard deviations of its modules."""

from pacifictool.functions import Alarm, Result


def deviations(readings, window):
    power = readings.groupby("deviceName")["power"].mean().dropna()
    spread = power.std(ddof=0)
    if not spread > 0:
        return
    for module, value in power.items():
        deviation = (value - power.mean()) / spread
        yield Result(module, {"power_mean": value, "deviation": deviation}, kind="device")
        if deviation < -2:
            yield Alarm("Weak module", "MINOR", {"deviation": round(deviation, 2)}, entity=module, kind="device")
    yield Result(window.entity, {"power_mean": power.mean(), "power_spread": spread})
