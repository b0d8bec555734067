"""Writes schemas/vectors/retention.json with dateutil and zoneinfo, so that the vectors owe nothing to the code they judge.

    python3 packages/retention/test/make_vectors.py > schemas/vectors/retention.json
"""
import datetime
import json
import random
import zoneinfo

from dateutil.relativedelta import relativedelta

UTC = datetime.timezone.utc
DRAWN = random.Random("cairn retention")


def instant(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def length(period):
    count, unit = period.split()
    return relativedelta(**{unit if unit.endswith("s") else unit + "s": int(count)})


def end(at, period, timezone):
    """The last day of a period counted from an instant, and the first instant after that day, in a time zone."""
    zone = zoneinfo.ZoneInfo(timezone)
    last = at.astimezone(zone).date() + length(period)
    after = last + datetime.timedelta(days=1)
    until = datetime.datetime(after.year, after.month, after.day, tzinfo=zone).astimezone(UTC)
    return last, until


def case(why, text, period, timezone="UTC"):
    at = instant(text)
    last, until = end(at, period, timezone)
    return {
        "why": why,
        "from": text,
        "period": period,
        "timezone": timezone,
        "last_day": last.isoformat(),
        "until": until.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def cover(period):
    """Whole days, today's included, that hold the latest period on every day of four centuries."""
    day, stop, most = datetime.date(2000, 1, 1), datetime.date(2400, 1, 1), 0
    while day < stop:
        most = max(most, (day - (day - length(period))).days)
        day += datetime.timedelta(days=1)
    return {"period": period, "days": most + 1}


def drawn():
    at = datetime.datetime(2000, 1, 1, tzinfo=UTC) + datetime.timedelta(
        seconds=DRAWN.randrange(60 * 365 * 86_400)
    )
    unit, most = DRAWN.choice([("days", 4000), ("months", 120), ("years", 12)])
    count = DRAWN.randrange(2, most)
    timezone = DRAWN.choice(["UTC", "Europe/Brussels", "America/New_York", "Asia/Kolkata", "Pacific/Auckland"])
    return case("drawn", at.strftime("%Y-%m-%dT%H:%M:%SZ"), f"{count} {unit}", timezone)


print(
    json.dumps(
        {
            "ends": [
                case("a leap day has no match in most years", "2024-02-29T12:00:00Z", "6 years"),
                case("a leap day has a match after four years", "2024-02-29T12:00:00Z", "4 years"),
                case("six years with one leap day", "2025-03-01T00:00:00Z", "6 years"),
                case("six years with two leap days", "2023-06-15T08:00:00Z", "6 years"),
                case("six years without a leap day, over 2100", "2097-03-01T00:00:00Z", "6 years"),
                case("2100 is no leap year", "2096-02-29T23:59:59Z", "4 years"),
                case("2000 is one", "2000-02-29T00:00:00Z", "12 months"),
                case("the 31st has no match in short months", "2026-08-31T00:00:00Z", "6 months"),
                case("the same in a leap year", "2027-08-31T00:00:00Z", "6 months"),
                case("twelve months are a year", "2026-11-25T23:59:59Z", "12 months"),
                case("the last second of a day", "2026-12-31T23:59:59Z", "1 day"),
                case("the first second of a day", "2027-01-01T00:00:00Z", "1 day"),
                case("another day in Brussels already", "2026-12-31T23:30:00Z", "1 year", "Europe/Brussels"),
                case("not yet that day in New York", "2027-01-01T03:00:00Z", "1 year", "America/New_York"),
                case("the day of the end is in summer time", "2026-12-28T00:00:00Z", "6 months", "Europe/Brussels"),
                case("clocks skip the midnight after it", "2018-10-03T12:00:00Z", "1 month", "America/Sao_Paulo"),
                case("a hundred years", "2026-11-25T00:00:00Z", "100 years"),
            ]
            + [drawn() for _ in range(60)],
            "covers": [cover(period) for period in ["90 days", "1 month", "3 months", "6 months", "1 year", "6 years"]],
        },
        indent=2,
    )
)
