"""The parts of the work; each has a digest of its own."""

#: Asked on every processor, and what goes into the hash.
EVERYWHERE = ("casts", "systolic", "integers", "functions", "forward")
#: And where the compiler is not emulated: there the kernel of these sums takes it ten minutes.
PARTS = (*EVERYWHERE, "accumulated")
