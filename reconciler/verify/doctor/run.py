"""The doctor's round: settings, source, ledger, Lago. One that is away keeps no other from being asked."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from reconciler.capture.source import Sight, Source, open_source
from reconciler.ledger.store import Ledger, open_ledger
from reconciler.model.errors import SettingsError
from reconciler.model.windows import keep_to_midnights
from reconciler.report.unbillable import Outlook
from reconciler.settings.load import Settings
from reconciler.verify.doctor.asking.lago import AskLago
from reconciler.verify.doctor.asking.ledger import AskLedger
from reconciler.verify.doctor.asking.source import AskSource
from reconciler.verify.doctor.billing import billing_checks
from reconciler.verify.doctor.check import Check, Mark, completed, exit_code
from reconciler.verify.doctor.lago import LagoFacts, lago_checks
from reconciler.verify.doctor.ledger import ledger_checks, mapping_checks
from reconciler.verify.doctor.ledger_facts import LedgerFacts, OfMeter
from reconciler.verify.doctor.source import source_checks
from reconciler.verify.doctor.source_facts import Billing, SourceFacts

STATEMENT = timedelta(seconds=10)
"""So long a statement may take; RECONCILE_STATEMENT_TIMEOUT may be shorter."""

REQUEST, CONNECT = 10.0, 3.0
"""Seconds that a question to Lago, or a connection, may take."""


@dataclass
class Examination:
    """What a round has found.

    Attributes:
        checks: all of them, in order.
        outlook: what Lago would not bill of the last day's usage, as far as that could be asked.
    """

    checks: list[Check] = field(default_factory=list)
    outlook: Outlook = field(default_factory=Outlook)

    @property
    def exit_code(self) -> int:
        """The first that applies: 1 something keeps billing from its work, 3 a person should look, 0."""
        return exit_code(self.checks)

    def as_json(self) -> dict[str, Any]:
        """Plain values; money as decimal text in USD."""
        return {
            "checks": [check.as_json() for check in self.checks],
            "unbillable": [each.as_json() for each in self.outlook.unbillable],
            "exit_code": self.exit_code,
        }


def of_unusable(error: SettingsError) -> Examination:
    """What is left to say where the settings can't be used: their faults, each a check."""
    return Examination(list(completed(_faults(error))))


def examine(settings: Settings, error: SettingsError | None = None) -> Examination:
    """Ask all questions, and write nothing at all, neither in a database nor in Lago.

    Args:
        settings: what the operator said.
        error: what is wrong with it as to Lago, which then is not asked.
    """
    limits = replace(settings.limits, request=REQUEST, connect=CONNECT)
    settings = replace(settings, limits=limits, statement_timeout=min(settings.statement_timeout, STATEMENT))
    with ExitStack() as open_:
        ledger = open_ledger(settings, read_only=True)
        open_.callback(ledger.close)
        source = open_source(settings, ledger)
        open_.callback(source.close)
        ask_source = AskSource(settings, source)
        of_source = ask_source.facts()
        sight = ask_source.sight
        of_ledger = AskLedger(settings, ledger, source).facts(sight if error is None else None)
        of_lago = None if error else _ask_lago(settings, ledger, source, of_source, of_ledger, sight)
    known = {name: each for name, each in (of_ledger.meters or {}).items() if isinstance(each, OfMeter)}
    checks = [
        *(_faults(error) if error else settings_checks(settings)),
        *mapping_checks(of_ledger, has_mapping=any(meter.mapping for meter in settings.meters)),
        *source_checks(of_source, _billing(settings, known)),
        *ledger_checks(of_ledger),
        *(_of_lago(settings, of_lago, known) if of_lago else ()),
    ]
    if len(settings.meters) == 1:  # which one need not be said
        checks = [replace(check, meter=None) for check in checks]
    outlook = of_lago.outlook if of_lago and isinstance(of_lago.outlook, Outlook) else Outlook()
    return Examination(list(completed(checks)), outlook)


def _ask_lago(
    settings: Settings,
    ledger: Ledger,
    source: Source,
    of_source: SourceFacts,
    of_ledger: LedgerFacts,
    sight: Sight | None,
) -> LagoFacts:
    try:
        asking = AskLago(settings, ledger, source)
    except SettingsError as error:  # the file of the key
        return LagoFacts(settings.lago_api_base, refused=str(error))
    knows_meters = None if of_ledger.meters is None else of_ledger.version is not None
    try:
        return asking.facts(sight, of_source.here, knows_meters=knows_meters)
    finally:
        asking.close()


def _billing(settings: Settings, known: Mapping[str, OfMeter]) -> Billing:
    """What others know that matters to the source."""
    return Billing(
        horizon=settings.horizon,
        one_database=settings.one_database,
        purge_mark=max((each.purge_mark for each in known.values() if each.purge_mark), default=None),
        watermark=min((each.watermark for each in known.values() if each.watermark), default=None),
    )


def _of_lago(settings: Settings, facts: LagoFacts, known: Mapping[str, OfMeter]) -> Iterator[Check]:
    organizations = {name: each.organization for name, each in known.items()}
    window_fits = all(keep_to_midnights(meter.window) for meter in settings.meters)
    yield from lago_checks(facts, organizations, deduplication=settings.deduplication)
    yield from billing_checks(facts, settings.meters, window_fits=window_fits)


def _faults(error: SettingsError) -> list[Check]:
    return [Check("settings", Mark.BAD, fault) for fault in str(error).split("\n")]


def settings_checks(settings: Settings) -> list[Check]:
    """That they could be read was seen; what works and is not safe is said."""
    warnings = [Check("settings", Mark.LOOK, warning) for warning in settings.warnings]
    names = ", ".join(meter.name for meter in settings.meters)
    return warnings or [Check("settings", Mark.GOOD, f"All are sound. Meter {names}.")]
