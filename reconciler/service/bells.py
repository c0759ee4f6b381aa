"""What the service's log says of alarms: once that one rings, once that it is over."""

import structlog

from reconciler.report.summary import Summary

log = structlog.get_logger("reconciler")


class Bells:
    """The alarms that this service has warned of. It warns once of each ringing, and says once that it is over."""

    def __init__(self) -> None:
        """None so far: after a restart those that stand are said again."""
        self._ringing: dict[str, dict[int, str]] = {}

    def hear(self, summary: Summary) -> None:
        """Say what has begun to ring since the last pass over that meter, and what has ended."""
        bound = log.bind(meter=summary.meter, run_id=summary.run_id)
        before = self._ringing.get(summary.meter, {})
        now = {alarm["id"]: alarm["kind"] for alarm in summary.alarms if not alarm["acknowledged"]}
        quiet = {alarm["id"]: alarm["reason"] for alarm in summary.alarms if alarm["acknowledged"]}
        for alarm in summary.alarms:
            if alarm["id"] in now and (alarm["id"] not in before or alarm["id"] in summary.ringing):
                bound.warning("alarm", alarm=alarm["id"], kind=alarm["kind"], reason=alarm["message"])
        for number, kind in before.items():
            if number in quiet:
                bound.info("alarm acknowledged", alarm=number, kind=kind, reason=quiet[number])
            elif number not in now:
                bound.info("alarm is over", alarm=number, kind=kind)
        self._ringing[summary.meter] = now
