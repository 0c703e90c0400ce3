"""All promises, in the order of the page."""

from benchmarks.trust import disks, folders, inputs, memory, parallel, repeats, stops

PROMISES = [
    promise
    for module in (inputs, folders, stops, disks, parallel, memory, repeats)
    for promise in module.PROMISES
]
