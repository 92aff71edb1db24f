"""What several engines with a share of one pipeline each say of themselves, put together as if it came from one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from engine.backpressure.bottleneck import find_culprit
from engine.core.snapshot import (
    EngineSnapshot,
    SamplingProgress,
    TaskSnapshot,
    VertexBackPressure,
)
from engine.runtime.counters import observed_of_all, sampler_of_all


def merged(whole: EngineSnapshot, workers: Sequence[EngineSnapshot]) -> EngineSnapshot:
    """`whole` knows what only the parent knows (state, times, workers); the rest comes from the workers.

    Every partition and every subtask lives in one worker; all workers name the same vertices and edges.
    """
    if not workers:
        return whole
    vertices = workers[0].vertices
    order = {vertex.vertex_id: place for place, vertex in enumerate(vertices)}

    def place(task: TaskSnapshot) -> tuple[int, int]:
        return order[task.vertex_id], task.subtask

    together = replace(
        whole,
        vertices=vertices,
        edges=workers[0].edges,
        partitions=tuple(sorted((p for w in workers for p in w.partitions), key=lambda p: p.partition)),
        tasks=tuple(sorted((task for worker in workers for task in worker.tasks), key=place)),
        back_pressure=back_pressure_of_all(workers),
        sampler=sampler_of_all(worker.sampler for worker in workers),
        observed=observed_of_all(worker.observed for worker in workers),
        info={**workers[0].info, **whole.info},
    )
    culprit = find_culprit(together)
    return replace(together, culprit=culprit, bottleneck=None if culprit is None else culprit.task)


def back_pressure_of_all(workers: Sequence[EngineSnapshot]) -> tuple[VertexBackPressure, ...]:
    """Of each vertex what those workers say that run a subtask of it."""
    found = []
    for vertex in workers[0].vertices if workers else ():
        said = [
            seen
            for worker in workers
            if any(task.vertex_id == vertex.vertex_id for task in worker.tasks)
            for seen in worker.back_pressure
            if seen.vertex_id == vertex.vertex_id
        ]
        if said:
            found.append(vertex_of_all(said))
    return tuple(found)


def vertex_of_all(said: Sequence[VertexBackPressure]) -> VertexBackPressure:
    """One vertex, of which several workers have subtasks: as bad as the worst of them."""
    subtasks = {number: seen for part in said for number, seen in part.subtasks.items()}
    worst = max(subtasks.values(), key=lambda subtask: subtask.ratio, default=None)
    return VertexBackPressure(
        vertex_id=said[0].vertex_id,
        is_fresh=all(part.is_fresh for part in said),
        level=None if worst is None else worst.level,
        sampled_wall_ns=max((part.sampled_wall_ns for part in said if part.sampled_wall_ns is not None), default=None),
        subtasks=dict(sorted(subtasks.items())),
        sampling=_progress(part.sampling for part in said),
        problem=next((part.problem for part in said if part.problem is not None), None),
    )


def _progress(parts: Iterable[SamplingProgress | None]) -> SamplingProgress | None:
    """All measure the same number of samples; the slowest says how far it is."""
    return min((part for part in parts if part is not None), key=lambda part: part.taken, default=None)
