from __future__ import annotations

from pacifictool.provisioning.apply import Pace


class Task:
    def __init__(self) -> None:
        self.done = 0.0
        self.notes: list[str] = []

    def advance(self, amount: float = 1) -> None:
        self.done += amount

    def update(self, *, completed: float | None = None, total: float | None = None, note: str | None = None) -> None:
        assert note is not None
        self.notes.append(note)


def test_the_note_shows_the_rate_of_the_last_seconds_and_the_time_left() -> None:
    now = 100.0
    task = Task()
    pace = Pace(task, 10_000, clock=lambda: now)
    for _ in range(1000):  # 100 a second
        now += 0.01
        pace.step()
    assert task.done == 1000
    assert task.notes[-1] == "100/s, 1 min 30 s left"
    assert 15 <= len(task.notes) <= 20
    for _ in range(300):  # and now 10 a second
        now += 0.1
        pace.step()
    assert task.notes[-1] == "10/s, 14 min 30 s left"
    for _ in range(8700):
        now += 0.001
        pace.step()
    assert task.notes[-1].endswith(", 0 s left")
