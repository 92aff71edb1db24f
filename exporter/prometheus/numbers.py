"""Numbers as Prometheus and its clients write them: 64-bit floats in the manner of Go."""

from __future__ import annotations

import math

# From here on Go writes an exponent, and Python does not yet.
_PLAIN_INTEGER_DIGITS = 6
_PLAIN_MAX = 10**_PLAIN_INTEGER_DIGITS


def go_number(value: float) -> str:
    """`3.0`, `1.5e-05`, `1.234567e+06`, `+Inf`, `NaN`."""
    # Nearly all of them: no infinity and no NaN is between these.
    if -_PLAIN_MAX < value < _PLAIN_MAX:
        return f"{value}.0" if value.__class__ is int else repr(float(value))
    number = float(value)
    if math.isinf(number):
        return "+Inf" if number > 0 else "-Inf"
    if math.isnan(number):
        return "NaN"
    text = repr(number)
    whole, point, fraction = text.partition(".")
    if number <= 0 or not point or len(whole) <= _PLAIN_INTEGER_DIGITS:
        return text
    digits = (whole + fraction).rstrip("0")
    mantissa = f"{digits[0]}.{digits[1:]}" if len(digits) > 1 else digits
    return f"{mantissa}e+{len(whole) - 1:02d}"
