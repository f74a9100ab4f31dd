"""A run on a virtual clock: coordinator, search and journal are the real ones; groups, messages and states are played.

The coordinator is a single server. While it decides, reports queue; it takes all that have come when it has done.

    wait for a report, or for the answer of a slow search;   now = its time of arrival
    receive the reports that have come; decide;              now += what that took: measured, or given
    each order reaches its group at                          now + latency
        fetch what it lacks, train for a drawn time, report: all times of it are known at once
"""
