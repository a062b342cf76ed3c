"""The parts of the work; each has a digest of its own."""

PARTS = ("casts", "systolic", "accumulated", "forward")
