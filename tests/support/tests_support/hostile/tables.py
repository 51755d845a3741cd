"""Results files, as they are compared: TSV and NDJSON that cost time or memory, or say what cannot be."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests_support.hostile.case import Case

HEADER = "idx\tlabel\tpredict\tradius\tcorrect\ttime\n"
ROW = "0\t1\t1\t0.5\t1\t0:00:01\n"
CERTIFICATE: dict[str, Any] = {
    "index": 0,
    "label": 1,
    "prediction": 1,
    "radius": 0.5,
    "p_lower": 0.97,
    "counts0": [0, 100],
    "counts": [0, 1000],
    "n0": 100,
    "n": 1000,
    "sigma": 0.25,
    "alpha": 0.001,
    "seed": 0,
}


def _tsv(*rows: str) -> Callable[[], bytes]:
    return lambda: (HEADER + "".join(row + "\n" for row in rows)).encode()


def _with(column: int, value: str) -> Callable[[], bytes]:
    fields = ["0", "1", "1", "0.5", "1", "0:00:01"]
    fields[column] = value
    return _tsv("\t".join(fields))


def _line(**changed: Any) -> Callable[[], bytes]:
    return lambda: json.dumps(CERTIFICATE | changed).encode() + b"\n"


TABLES: dict[str, Callable[[], bytes]] = {
    "a radius of 20,000 digits and a letter": _with(3, "1" * 20_000 + "x"),
    "a radius of 5 MB of digits": _with(3, "1" * 5_000_000),
    "a radius with a thousand exponents": _with(3, "1e" * 1_000),
    "an infinite radius": _with(3, "inf"),
    "a radius that is not a number": _with(3, "nan"),
    "a radius of 10^999": _with(3, "1e999"),
    "a radius below zero": _with(3, "-0.5"),
    "an index of 10^17 and one more digit": _with(0, "9" * 19),
    "an index of other digits": _with(0, "٣"),
    "a time of 100,000 digits": _with(5, "1" * 100_000 + ":00:00"),
    "a time of 10^9 days": _with(5, "days " * 10_000),
    "a label that is a formula": _with(1, "=1+1"),
    "one line of 8 MB": lambda: HEADER.encode() + b"x" * 8_000_000,
    "a header of a million columns": lambda: b"\t".join(b"c" for _ in range(1_000_000)) + b"\n",
    "a row of a million columns": lambda: HEADER.encode() + b"0\t" * 1_000_000 + b"\n",
    "NUL characters": lambda: HEADER.encode() + b"0\x001\t1\t0.5\t1\t0:00:01\n",
    "text that is no UTF-8": lambda: HEADER.encode() + b"\xff\xfe\xfd\n",
    "text in UTF-16": lambda: (HEADER + ROW).encode("utf-16"),
    "one index twice": _tsv(ROW.strip(), ROW.strip()),
    "an abstention with a radius": _tsv("0\t1\t-1\t0.5\t0\t0:00:01"),
    "a header alone": lambda: HEADER.encode(),
    "nothing": lambda: b"",
    "a million empty lines": lambda: HEADER.encode() + b"\n" * 1_000_000,
}
LINES: dict[str, Callable[[], bytes]] = {
    "lists nested 100,000 deep": lambda: b"[" * 100_000 + b"\n",
    "objects nested 100,000 deep": lambda: b'{"a":' * 100_000 + b"\n",
    "a number of 100,000 digits": lambda: b'{"index": ' + b"9" * 100_000 + b"}\n",
    "a radius of 10^400": lambda: json.dumps(CERTIFICATE).replace("0.5", "1e400", 1).encode() + b"\n",
    "counts of a million classes": _line(counts=[1] * 1_000_000),
    "counts below zero": _line(counts=[-1000, 2000]),
    "counts that are text": _line(counts=["a", "b"]),
    "a class that was not counted": _line(prediction=7),
    "a noise level of zero": _line(sigma=0),
    "an index that is true": _line(index=True),
    "an index of 2^70": _line(index=2**70),
    "a name of half a surrogate pair": lambda: b'{"\\ud800": 1}\n',
    "100,000 unknown fields": _line(**{f"field{n}": n for n in range(100_000)}),
    "a list in place of an object": lambda: b"[1, 2]\n",
    "no text at all": lambda: b"\x00\xff" * 1_000,
    "rows of two kinds": lambda: _line()() + b'{"index": 1, "p_value": 0.1}\n',
}
HARMLESS = ("100,000 unknown fields", "an abstention with a radius", "a name of half a surrogate pair")
SAMPLED = ("a radius of 20,000 digits and a letter", "a radius of 5 MB of digits", "lists nested 100,000 deep")


def cases() -> Iterator[Case]:
    """TSV files, then NDJSON."""
    for ending, tables in ((".tsv", TABLES), (".ndjson", LINES)):
        for name, made in tables.items():
            yield Case(
                name=f"a results file ({ending}) with {name}",
                door="comparison",
                files=lambda canary, made=made, ending=ending: {f"results{ending}": made()},
                harmless=_compared if name in HARMLESS else None,
                sampled=name in SAMPLED,
            )


def _compared(answer: Mapping[str, Any]) -> bool:
    return len(json.dumps(answer)) < 200_000
