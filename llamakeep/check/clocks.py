"""How far two clocks may be apart."""

from datetime import datetime, timedelta

from llamakeep.check.finding import Finding, failed, warning

NOTICED = timedelta(seconds=30)
"""What this exceeds is worth a warning; `Date` headers are whole seconds, and late."""
TOO_FAR = timedelta(minutes=5)
"""Signatures of webhooks are refused beyond it, and certificates may be."""

FIX = "Let NTP set the clock (`timedatectl` shows whether it does)."


def compare(
    about: str, theirs: datetime, ours: datetime, *, whose: str
) -> list[Finding]:
    """Return a finding if another clock and this computer's are apart."""
    apart = ours - theirs
    if abs(apart) <= NOTICED:
        return []
    seconds = abs(apart).total_seconds()
    said = (
        f"This computer's clock is {seconds:.0f} s "
        f"{'ahead of' if apart > timedelta() else 'behind'} that of {whose}."
    )
    make = failed if abs(apart) > TOO_FAR else warning
    return [make(about, said, FIX)]
