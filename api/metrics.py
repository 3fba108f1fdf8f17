"""What Prometheus asks for. Every turn of the process passes through `watch`, the page's too."""

from __future__ import annotations

import time
from collections import Counter as Count
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agent.events import Event, Failed, Notice, Planned, StepFinished, StepStarted, Waiting
from agent.fair_queue import FairQueue
from engine.interface import Engine
from workshop.alerts import kind_of
from workshop.usage import UsageError, UsageStore

DURATION_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 300)
CONFIDENCE_BUCKETS = tuple(round(0.05 * step, 2) for step in range(1, 21))
STEP_LABELS = ("task", "adapter")


class Metrics:
    """Counters of one process. Safe to use from many threads; they hold nobody's words."""

    def __init__(self, engine: Engine, queue: FairQueue, usage: UsageStore | None = None) -> None:
        self.registry = CollectorRegistry()
        on = self.registry
        ProcessCollector(registry=on)
        self.registry.register(_Passes(engine))
        if usage:
            self.registry.register(_Alerts(usage))
        running = Gauge("patchbay_turns_running", "Turns that run", registry=on)
        running.set_function(lambda: queue.running)
        waiting = Gauge("patchbay_waiting", "Turns that wait in the queue", registry=on)
        waiting.set_function(lambda: queue.waiting)
        self.requests = Counter(
            "patchbay_requests", "HTTP requests to the API", ("route", "status"), registry=on
        )
        self._failed = Counter("patchbay_turns_failed", "Turns that failed", ("kind",), registry=on)
        self._notices = Counter(
            "patchbay_notices", "What visitors were told of steps", ("kind",), registry=on
        )
        self._tokens = Counter(
            "patchbay_tokens", "Tokens of steps", ("kind", *STEP_LABELS), registry=on
        )
        self._waited = Histogram(
            "patchbay_wait_seconds", "Time in the queue", buckets=DURATION_BUCKETS, registry=on
        )
        self._first_token = Histogram(
            "patchbay_first_token_seconds",
            "Wait for a step's first text, from when the engine was asked",
            STEP_LABELS,
            buckets=DURATION_BUCKETS,
            registry=on,
        )
        self._duration = Histogram(
            "patchbay_step_seconds",
            "Time for a whole step",
            STEP_LABELS,
            buckets=DURATION_BUCKETS,
            registry=on,
        )
        self._confidence = Histogram(
            "patchbay_route_confidence",
            "Probability that the router gave to the task it took",
            ("task",),
            buckets=CONFIDENCE_BUCKETS,
            registry=on,
        )

    def watch(self, turn: Iterator[Event]) -> Iterator[Event]:
        """Count a turn's events as they pass."""
        started, waits = time.perf_counter(), True
        for event in turn:
            if waits and not isinstance(event, Waiting):
                waits = False
                self._waited.observe(time.perf_counter() - started)
            match event:
                case Planned(plan=plan) if plan.reason == "router":
                    for step in plan.steps:
                        self._confidence.labels(step.task).observe(step.confidence)
                case StepStarted():
                    labels = (event.step.task or "none", event.adapter or "base")
                case Notice(kind=kind):
                    self._notices.labels(kind).inc()
                case StepFinished():
                    self._count(event, labels)
                case Failed(kind=kind):
                    self._failed.labels(kind).inc()
            yield event

    def _count(self, event: StepFinished, labels: tuple[str, str]) -> None:
        self._tokens.labels("read", *labels).inc(event.prompt_tokens)
        self._tokens.labels("scored" if event.labels else "written", *labels).inc(event.tokens)
        self._first_token.labels(*labels).observe(event.first_token)
        self._duration.labels(*labels).observe(event.seconds)


class _Passes(Collector):
    """The engine's own count, read when it is asked for."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterable[Metric]:
        count = CounterMetricFamily("patchbay_forward_passes", "Forward passes of the engine")
        count.add_metric([], self._engine.passes)
        yield count


class _Alerts(Collector):
    """The watch's open alerts, read when they are asked for."""

    def __init__(self, usage: UsageStore) -> None:
        self._usage = usage

    def collect(self) -> Iterable[Metric]:
        labels = ("kind", "task", "adapter")
        gauge = GaugeMetricFamily("patchbay_alerts", "Open alerts of the watch", labels=labels)
        try:
            alerts = list(self._usage.alerts().values())
        except UsageError:  # the other figures are wanted all the same; the log has the reason
            alerts = []
        counted = Count((kind_of(one), one.task, one.adapter or "base") for one in alerts)
        for names, count in sorted(counted.items()):
            gauge.add_metric(names, count)
        yield gauge
