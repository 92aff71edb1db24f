"""From samples of subtasks to the back pressure of a vertex."""

from __future__ import annotations

from collections.abc import Mapping

from engine.backpressure.levels import level_of
from engine.backpressure.sampler import SampleBook
from engine.core.snapshot import BackPressureSnapshot, SamplingProgress, VertexBackPressure


def of_readings(
    vertex_id: str,
    subtasks: Mapping[int, BackPressureSnapshot],
    *,
    is_fresh: bool,
    sampled_wall_ns: int | None,
    progress: SamplingProgress | None = None,
    problem: str | None = None,
) -> VertexBackPressure:
    """A vertex is as bad as the worst of its subtasks."""
    return VertexBackPressure(
        vertex_id=vertex_id,
        is_fresh=is_fresh,
        level=level_of(max(subtask.ratio for subtask in subtasks.values())) if subtasks else None,
        sampled_wall_ns=sampled_wall_ns if subtasks else None,
        subtasks=subtasks,
        sampling=progress,
        problem=problem,
    )


def of_books(
    vertex_id: str,
    books: Mapping[int, SampleBook],
    *,
    sampled_wall_ns: int | None,
    progress: SamplingProgress | None = None,
    problem: str | None = None,
) -> VertexBackPressure:
    """The same for subtasks that are always sampled: fresh once every window is full."""
    running = {number: book for number, book in books.items() if not book.subject.is_over}
    unsure = {number: book.unsure for number, book in running.items() if book.unsure is not None}
    readings = {
        number: reading
        for number, book in running.items()
        if number not in unsure and (reading := book.reading(sampled_wall_ns)) is not None
    }
    if problem is None and unsure:
        problem = next(iter(unsure.values()))
    return of_readings(
        vertex_id,
        readings,
        is_fresh=bool(running) and all(book.window.is_full for book in running.values()),
        sampled_wall_ns=sampled_wall_ns,
        progress=progress,
        problem=problem,
    )
